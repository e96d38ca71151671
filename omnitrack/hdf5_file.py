"""Making an HDF5 file on a disk that may be full, and keeping what HDF5 remembers of a file small."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from omnitrack.unavailable import unavailable

LAYOUT = "v108"  # from 1.10 on a file stays marked as being written where a program that has it open is killed
METADATA_BYTES = 2 * 2**20  # of headers and indices; HDF5 lets it grow to 32 MB, 45 MB with what it takes to hold them

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # what a file system without locks says (NFS, Lustre)


def bound_metadata(file: h5py.File) -> h5py.File:
    """Keep the headers of few groups in memory: a long clip has ten thousand, and each is read about once."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = METADATA_BYTES // 2
    config.max_size = METADATA_BYTES
    file.id.set_mdc_config(config)
    return file


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    A file system without locks is no obstacle: a file of ours is never changed in place.

    Raises:
        UnavailableError: Another program holds it, or it may not be read.
        OSError: There is none, or it is damaged, or no file but a directory, device or pipe.
    """
    if path.exists() and not path.is_file():  # of which HDF5 would wait for the first byte
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    try:
        return bound_metadata(h5py.File(path, "r"))
    except OSError as error:
        if error.errno in NO_LOCKS:
            return bound_metadata(h5py.File(path, "r", locking=False))
        if refused := unavailable(path, error):
            raise refused from error
        raise


def plain_member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset:
    """What lies in a group of this very file under a name; links are not followed.

    Raises:
        ValueError: There is nothing of that name, or a link that may lead to elsewhere.
    """
    if not group.id.links.exists(name.encode()):
        raise ValueError(f"{name} is missing")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name} is a link to elsewhere")
    return group[name]


def check_plain(dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose values lie in other files.

    Raises:
        ValueError: It is virtual, or its storage is external.
    """
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{dataset.name} keeps its values in other files")


@contextmanager
def create_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file, open for the block to fill.

    HDF5 cannot let go of a file whose last bytes it cannot write: it brings the process down, at its end if not
    before. So HDF5 hears that every write went well, and the first one that did not is raised when the file is closed.

    Headers are of the layout of HDF5 1.8, which has checksums: a bit that flips in them is an error.

    Args:
        path: The file to make.

    Raises:
        OSError: The file cannot be written.
    """
    with _Sink(path, "w+") as sink:
        try:
            with h5py.File(sink, "w", libver=LAYOUT) as file:
                yield bound_metadata(file)
        except (OSError, RuntimeError, KeyError):
            if sink.error is None:
                raise  # otherwise HDF5 misses what it believes to have written
    if sink.error is not None:
        raise sink.error


class _Sink(io.FileIO):
    """A file whose writes never fail: after the first error they lead nowhere."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        size = len(left)
        while left and self.error is None:
            try:
                left = left[super().write(left) :]
            except OSError as error:
                self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0
