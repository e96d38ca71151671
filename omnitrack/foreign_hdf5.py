"""Arrays in HDF5 files of unknown origin: their memory is checked before they are read."""

from __future__ import annotations

import math
import zlib

import h5py
from h5py import h5z

from omnitrack.hdf5_file import check_plain, plain_member

CHECKSUM_BYTES = 4  # of Fletcher32, which may come before or after compression
FILTERS = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32)  # that a plain dataset may have
_PIECE = 1 << 16


def foreign_array(group: h5py.Group, name: str, most_bytes: int) -> h5py.Dataset:
    """Return a numeric dataset that is stored entirely in its own file and is no larger than its header states.

    HDF5 follows links, external storage and virtual datasets into any file that the process may read, and inflates a
    chunk to the end of its stream, whatever the chunk's shape. So each chunk is checked, with little memory.

    Args:
        group: The group that contains it.
        name: Name of a member of the group, not a path.
        most_bytes: Largest size in memory that is allowed.

    Raises:
        ValueError: There is no such dataset, or it fails a check.
    """
    dataset = plain_member(group, name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no dataset")
    check_plain(dataset)
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
    """Return whether a zlib stream ends within `most_bytes` bytes."""
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
