"""Making an HDF5 file on a disk that may be full, keeping what HDF5 remembers of a file small, and trusting no file."""

from __future__ import annotations

import errno
import io
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
from h5py import h5z

from omnitrack.errors import UnavailableError

METADATA_BYTES = 2 * 2**20  # of headers and indices; HDF5 lets it grow to 32 MB, 45 MB with what it takes to hold them

CHECKSUM_BYTES = 4  # of Fletcher32, which may come before or after compression
FILTERS = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32)  # that a plain dataset may have
_PIECE = 1 << 16
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
        if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
            hint = "let it finish, or stop it, and type the same again"
            raise UnavailableError(f"{path} is in use by another program", hint) from error
        if error.errno in (errno.EACCES, errno.EPERM):
            hint = "check its owner and permissions"
            raise UnavailableError(f"{path} may not be read: permission denied", hint) from error
        raise


def check_plain(group: h5py.Group, name: str, most_bytes: int) -> h5py.Dataset:
    """A dataset of numbers that is all in its own file and no larger than it says; nothing of it is read for long.

    HDF5 follows links, external storage and virtual datasets into any file that the process may read, and inflates a
    chunk for as long as its stream goes on, whatever the chunk's shape.

    Args:
        group: Where it is.
        name: Of a member of the group, not a path.
        most_bytes: That it may take.

    Raises:
        ValueError: There is none, or it is not so.
    """
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):  # None: there is no such member
        raise ValueError(f"{name} is a link to another place")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"{name} is no dataset of its own: its numbers are in other files")
    if dataset.shape is None or dataset.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds {dataset.dtype}, not numbers")
    taken = math.prod(max(side, 1) for side in dataset.shape) * dataset.dtype.itemsize
    if taken > most_bytes:
        raise ValueError(f"{name} of the shape {dataset.shape} takes {taken} bytes, and {most_bytes} are allowed")
    if dataset.size and dataset.chunks is None and dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(f"{name} lacks its numbers")
    if dataset.size and dataset.chunks is not None:
        _check_chunks(dataset, most_bytes)
    return dataset


def _check_chunks(dataset: h5py.Dataset, most_bytes: int) -> None:
    name, chunk_bytes = dataset.name, math.prod(dataset.chunks) * dataset.dtype.itemsize
    pipeline = dataset.id.get_create_plist()
    filters = [pipeline.get_filter(index)[0] for index in range(pipeline.get_nfilters())]
    if len(set(filters)) < len(filters) or not set(filters) <= set(FILTERS):
        raise ValueError(f"{name} is compressed by another filter than gzip")
    places = math.prod(-(-side // step) for side, step in zip(dataset.shape, dataset.chunks, strict=True))
    if chunk_bytes > most_bytes or dataset.id.get_num_chunks() != places:
        raise ValueError(f"{name} lacks chunks, or has chunks of {chunk_bytes} bytes")
    for chunk in dataset.iter_chunks():
        skipped, stored = dataset.id.read_direct_chunk(tuple(side.start for side in chunk))
        deflated = any(code == h5z.FILTER_DEFLATE and not skipped >> index & 1 for index, code in enumerate(filters))
        if deflated and not _inflates_to(stored, chunk_bytes + CHECKSUM_BYTES):
            raise ValueError(f"{name} has a chunk that is larger than it says, or damaged")


def _inflates_to(stored: bytes, most_bytes: int) -> bool:
    """Whether a zlib stream ends within so many bytes."""
    stream = zlib.decompressobj()
    left, rest = most_bytes, stored
    try:
        while left >= 0 and not stream.eof:
            piece = stream.decompress(rest, _PIECE)
            if not piece and not stream.unconsumed_tail:
                break
            left, rest = left - len(piece), stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof and left >= 0


@contextmanager
def create_hdf5(path: Path) -> Iterator[h5py.File]:
    """A new HDF5 file, open for the block to fill.

    HDF5 cannot let go of a file whose last bytes it cannot write: it brings the process down, at its end if not
    before. So HDF5 hears that every write went well, and the first one that did not is raised when the file is closed.

    Args:
        path: The file to make.

    Raises:
        OSError: The file cannot be written.
    """
    with _Sink(path, "w+") as sink:
        try:
            with h5py.File(sink, "w") as file:
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
