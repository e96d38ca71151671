"""Arrays are read only if they have the expected form, and are stored in this very file."""

from __future__ import annotations

import resource
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from omnitrack.project.arrays import check_found, put_array, put_chunks, read_array, read_number

VALUES = np.arange(12, dtype=np.int16).reshape(3, 4)


@pytest.fixture
def file(tmp_path: Path) -> h5py.File:
    with h5py.File(tmp_path / "file.h5", "w") as made:
        yield made


def test_what_is_right_is_read(file: h5py.File) -> None:
    put_array(file, "a", VALUES)
    put_array(file, "none", VALUES[:0])
    np.testing.assert_array_equal(read_array(file, "a", (3, 4), np.int16, 0, 11), VALUES)
    np.testing.assert_array_equal(read_array(file, "a", (range(9), 4), "<i2"), VALUES)
    assert read_array(file, "none", (range(9), 4), np.int16, 5, 6).shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("b", (3, 4), np.int16), "b is missing"),
        (("a", (4, 3), np.int16), r"has the shape \(3, 4\), not \(4, 3\)"),
        (("a", (12,), np.int16), "has the shape"),
        (("a", (range(3), 4), np.int16), r"not \(0 to 2, 4\)"),
        (("a", (3, 4), np.int32), "is of type int16, not int32"),
        (("a", (3, 4), np.int16, 1), "out of its range"),
        (("a", (3, 4), np.int16, 0, 10), "out of its range"),
        (("group", (3, 4), np.int16), "is no array"),
        (("nan", (3,), np.float32), "not finite"),
    ],
)
def test_what_is_wrong_is_named(file: h5py.File, arguments: tuple[object, ...], told: str) -> None:
    put_array(file, "a", VALUES)
    put_array(file, "nan", np.array([0, np.nan, 1], np.float32))
    file.create_group("group")
    with pytest.raises(ValueError, match=told):
        read_array(file, *arguments)  # type: ignore[arg-type]


def soft(file: h5py.File, other: Path) -> None:
    file["a"] = h5py.SoftLink("/b")


def external(file: h5py.File, other: Path) -> None:
    file["a"] = h5py.ExternalLink(str(other), "/b")


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout(VALUES.shape, VALUES.dtype)
    layout[:] = h5py.VirtualSource(str(other), "b", VALUES.shape)
    file.create_virtual_dataset("a", layout)


def raw(file: h5py.File, other: Path) -> None:
    file.create_dataset("a", VALUES.shape, VALUES.dtype, external=[(str(other), 0, VALUES.nbytes)])


@pytest.mark.parametrize("elsewhere", [soft, external, virtual, raw])
def test_values_that_lie_elsewhere_are_not_read(
    file: h5py.File, tmp_path: Path, elsewhere: Callable[[h5py.File, Path], None]
) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as target:
        target["b"] = VALUES
    file["b"] = VALUES
    elsewhere(file, other)
    assert file["a"].shape == VALUES.shape, "it can be followed"
    with pytest.raises(ValueError, match=r"link to elsewhere|in other files"):
        read_array(file, "a", VALUES.shape, VALUES.dtype)


def test_a_chunk_that_would_fill_the_memory_is_not_unpacked(file: h5py.File) -> None:
    """A small chunk that unpacks to far more than its shape, and an array that is declared as 4 GB."""
    packed = zlib.compress(bytes(2**28))
    small = file.create_dataset("small", (10, 10), np.uint8, chunks=(10, 10), compression="gzip")
    small.id.write_direct_chunk((0, 0), packed)
    file.create_dataset("large", (4, 2**30), np.uint8, chunks=(1, 2**30), compression="gzip")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("small", "large"):
        with pytest.raises(ValueError, match=r"more bytes than it has|has the shape"):
            read_array(file, name, (10, 10), np.uint8)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**17, "in kB"


@pytest.mark.parametrize("lost", ["a chunk", "a filter"])
def test_chunks_that_are_lost_are_not_read_as_zeros(file: h5py.File, lost: str) -> None:
    made = file.create_dataset("a", (3, 4), np.int16, chunks=(1, 4), fletcher32=True)
    made[:2] = VALUES[:2]
    if lost == "a filter":
        made.id.write_direct_chunk((2, 0), VALUES[2].tobytes(), filter_mask=1)
    with pytest.raises(ValueError, match="lacks some of its chunks"):
        read_array(file, "a", (3, 4), np.int16)


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf, "text", [1.0, 2.0]])
def test_numbers_that_make_no_sense(file: h5py.File, value: object) -> None:
    file.attrs["steps_per_px"], file.attrs["right"] = value, 0.5
    assert read_number(file.attrs, "right") == 0.5
    with pytest.raises((ValueError, TypeError)):
        read_number(file.attrs, "steps_per_px")


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "int16", "int32", "uint8", "uint16"])
def test_a_chunk_that_is_not_there_is_no_zeros(tmp_path: Path, dtype: str) -> None:
    """HDF5 returns the fill value where its index, which has no checksum, leads nowhere."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        put_chunks(file, "values", np.zeros((3, 2, 4), dtype), chunks=(1, 2, 4), compression="gzip")
        file.create_dataset("hole", (3, 2, 4), dtype, chunks=(1, 2, 4), fillvalue=file["values"].fillvalue)
        file["hole"][0] = file["hole"][2] = np.zeros((2, 4), dtype)
        check_found(file["values"], file["values"][()])
        check_found(file["hole"], file["hole"][:1])
        with pytest.raises(ValueError, match="lacks some of its chunks"):
            check_found(file["hole"], file["hole"][()])
