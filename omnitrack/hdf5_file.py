"""Writing HDF5 files to a disk that may be full, and limiting HDF5's metadata cache."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from omnitrack.unavailable import unavailable

LAYOUT = "v108"  # from 1.10 on, a file stays marked as being written if a program that has it open is killed
METADATA_BYTES = 2 * 2**20  # of headers and indices; HDF5 itself allows 32 MB, 45 MB with its overhead

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # errors of a file system without locks (NFS, Lustre)


def bound_metadata(file: h5py.File) -> h5py.File:
    """Limit the cached headers: a long clip has ten thousand groups, and each header is read about once."""
    config = file.id.get_mdc_config()
    config.set_initial_size = True
    config.initial_size = config.min_size = METADATA_BYTES // 2
    config.max_size = METADATA_BYTES
    file.id.set_mdc_config(config)
    return file


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    Without locks in the file system, it is opened unlocked: no product is ever changed in place.

    Raises:
        UnavailableError: Another program holds the file, or access is denied.
        OSError: The file is missing or damaged, or is a directory, device or pipe.
    """
    if path.exists() and not path.is_file():  # HDF5 would wait for the first byte of a pipe
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
    """Return the member of that name if the group's own file contains it; links are not followed.

    Raises:
        ValueError: There is no such member, or it is a link, which may lead to another file.
    """
    if not group.id.links.exists(name.encode()):
        raise ValueError(f"{name} is missing")
    if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise ValueError(f"{name} is a link to elsewhere")
    return group[name]


def check_plain(dataset: h5py.Dataset) -> None:
    """Refuse a dataset whose values are stored in other files.

    Raises:
        ValueError: The dataset is virtual, or its storage is external.
    """
    if dataset.is_virtual or dataset.external:
        raise ValueError(f"{dataset.name} keeps its values in other files")


@contextmanager
def create_hdf5(path: Path) -> Iterator[h5py.File]:
    """Yield a new HDF5 file, open for the block to fill.

    HDF5 cannot close a file whose last bytes it cannot write: it crashes the process, at exit if not before. So every
    write is reported to HDF5 as successful, and the first error is raised when the file is closed.

    Headers have the layout of HDF5 1.8, which has checksums: a flipped bit in a header is an error.

    Args:
        path: The file to create.

    Raises:
        OSError: The file cannot be written.
    """
    with _Sink(path, "w+") as sink:
        try:
            with h5py.File(sink, "w", libver=LAYOUT) as file:
                yield bound_metadata(file)
        except (OSError, RuntimeError, KeyError):
            if sink.error is None:
                raise  # otherwise HDF5 fails on data that were discarded
    if sink.error is not None:
        raise sink.error


class _Sink(io.FileIO):
    """A file whose writes never fail: after the first error, they are discarded."""

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
