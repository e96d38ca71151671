"""Creating HDF5 files on a disk that rejects them: an error, and no crash of the process at its exit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from omnitrack.hdf5_file import METADATA_BYTES, bound_metadata, create_hdf5

# In its own process: HDF5 used to crash it, at its exit at the latest.
ON_A_FULL_DISK = """
import resource, sys, threading
from pathlib import Path
import numpy as np
from omnitrack.hdf5_file import create_hdf5

def write(name):
    try:
        with create_hdf5(Path(sys.argv[1]) / name) as file:
            for n in range(200):  # enough that HDF5 puts out its metadata before the end
                group = file.create_group(f"{n:04d}")
                group.create_dataset("noise", data=np.random.default_rng(n).random(500), compression="gzip")
                group.attrs["text"] = "x" * 100
            assert len(file) == 200
    except OSError as error:
        refused.append(f"{name} {error.strerror}")  # threads that print would write into each other's lines

soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), hard))
refused = []
threads = [threading.Thread(target=write, args=(name,)) for name in "abc"]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
write("d")
for line in [*sorted(refused), "end"]:
    print(line)
"""


def test_what_is_put_in_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new.h5"
    path.write_bytes(b"something longer that was there before" * 1000)
    values = np.arange(10_000).reshape(100, 100)
    with create_hdf5(path) as file:
        file.create_group("a").create_dataset("values", data=values, compression="gzip", chunks=(10, 100))
        file["a"].attrs["name"] = "some"
        np.testing.assert_array_equal(file["a/values"][()], values)
    with h5py.File(path, "r") as file:
        np.testing.assert_array_equal(file["a/values"][()], values)
        assert file["a"].attrs["name"] == "some"


@pytest.mark.parametrize("limit", [0, 100, 5000, 200_000])
def test_a_full_disk_is_an_error_and_nothing_worse(tmp_path: Path, limit: int) -> None:
    pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path), str(limit)], capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines() == ["a File too large", "b File too large", "c File too large", "end"]
    assert (done.returncode, done.stderr) == (0, "")
    with h5py.File(tmp_path / "d", "r") as file:
        assert len(file) == 200


def test_an_error_of_the_block_stays_what_it_is(tmp_path: Path) -> None:
    for error in (OSError(5, "of the block"), KeyError("mine"), ValueError("mine")):
        with pytest.raises(type(error)) as caught, create_hdf5(tmp_path / "new.h5"):
            raise error
        assert caught.value is error


def test_a_place_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), create_hdf5(tmp_path / "missing" / "new.h5"):
        pass


def test_what_is_remembered_of_a_file_with_many_groups_stays_small(tmp_path: Path) -> None:
    path = tmp_path / "many.h5"
    with create_hdf5(path) as file:
        assert file.id.get_mdc_config().max_size == METADATA_BYTES
        for index in range(500):
            file.create_group(str(index))["values"] = np.arange(index)
    with bound_metadata(h5py.File(path, "r")) as file:
        assert [int(file[str(index)]["values"].shape[0]) for index in range(500)] == list(range(500))
        assert file.id.get_mdc_size()[0] <= METADATA_BYTES
