"""Arrays of a product: stored with a checksum, and read only if they have the expected form.

The shape and type of an array, and the size and position of each chunk, are compared with what the project expects
before the array is read. So a file of a few bytes cannot request all memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from omnitrack.hdf5_file import check_plain, plain_member

Shape = tuple[int | range, ...]  # a range: any length in it
# Fill values, which HDF5 returns for a missing chunk: a whole chunk of data never consists of them.
_NOTHING: dict[np.dtype[Any], float] = {
    **{np.dtype(name): math.nan for name in ("float16", "float32", "float64")},
    **{np.dtype(name): int(np.iinfo(name).min) for name in ("int8", "int16", "int32", "int64")},
    **{np.dtype(name): 0xA5 for name in ("uint8", "uint16")},
}
SLACK_SHARE, SLACK_BYTES = 1000, 64  # that deflate and a checksum add to incompressible data, at most


def put_array(group: h5py.Group, name: str, values: NDArray[Any]) -> None:
    """Store a small array uncompressed, with a checksum."""
    if values.size:
        put_chunks(group, name, values, chunks=values.shape, fletcher32=True)
    else:
        group[name] = values


def put_chunks(group: h5py.Group, name: str, values: NDArray[Any], **options: Any) -> None:
    """Store an array in chunks with a checksum; the options are those of `h5py.Group.create_dataset`.

    A chunk that HDF5 does not find is distinct from data: it reads as NaN, or as a number that fills no whole chunk.
    """
    group.create_dataset(name, data=values, fillvalue=_NOTHING.get(values.dtype), **options)


def read_array(
    group: h5py.Group,
    name: str,
    shape: Shape,
    dtype: DTypeLike,
    low: float | None = None,
    high: float | None = None,
) -> NDArray[Any]:
    """Read an array that must have a given shape, type and range.

    Args:
        group: The group that contains it.
        name: Name of the dataset.
        shape: Its length along every axis, or a range of lengths.
        dtype: Type of its elements; floating-point values must be finite.
        low: Smallest allowed value; None: any.
        high: Largest allowed value; None: any.

    Raises:
        ValueError: There is no such dataset, or it has another form.
        OSError: The dataset is damaged.
    """
    dataset = open_array(group, name, shape, dtype)
    values: NDArray[Any] = dataset[()]
    check_found(dataset, values)
    check_values(values, name, low, high)
    return values


def open_array(group: h5py.Group, name: str, shape: Shape, dtype: DTypeLike) -> h5py.Dataset:
    """Return the dataset of an array of that shape and type, as in `read_array`; its values are not checked yet."""
    dataset = plain_member(group, name)
    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{name} is no array")
    check_plain(dataset)
    if dataset.dtype != np.dtype(dtype):
        raise ValueError(f"{name} is of type {dataset.dtype}, not {np.dtype(dtype)}")
    if not _fits(dataset.shape, shape):
        raise ValueError(f"{name} has the shape {dataset.shape}, not {_text(shape)}")
    if dataset.chunks is not None:
        _check_chunks(dataset, name)
    elif dataset.id.get_storage_size() != dataset.nbytes:
        raise ValueError(f"{name} is not stored as a whole")
    return dataset


def check_found(dataset: h5py.Dataset, values: NDArray[Any]) -> None:
    """Raise a ValueError if HDF5 did not find a chunk of the values, which begin at a chunk of the dataset."""
    nothing = _NOTHING.get(dataset.dtype)
    if dataset.chunks is None or nothing is None or not values.size or dataset.fillvalue == 0:  # 0: earlier versions
        return
    empty = np.isnan(values) if nothing != nothing else values == nothing
    if empty.any() and any(empty[chunk].all() for chunk in _chunks_of(dataset, values.shape)):
        raise ValueError(f"{dataset.name} lacks some of its chunks")


def _chunks_of(dataset: h5py.Dataset, shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the chunks of values (...) that begin at a chunk of the dataset, as slices of the values."""
    steps = [range(0, length, side) for length, side in zip(shape, dataset.chunks, strict=True)]
    for first in product(*steps):
        yield tuple(slice(begin, begin + side) for begin, side in zip(first, dataset.chunks, strict=True))


def check_values(values: NDArray[Any], name: str, low: float | None = None, high: float | None = None) -> None:
    """Raise a ValueError if a value is not finite or out of range."""
    if not values.size:
        return
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError(f"{name} has values that are not finite")
    if (low is not None and values.min() < low) or (high is not None and values.max() > high):
        raise ValueError(f"{name} has values from {values.min()} to {values.max()}, out of its range")


def read_number(attributes: h5py.AttributeManager, name: str, above: float = 0.0) -> float:
    """Read a finite number from the attributes of a group.

    Raises:
        KeyError: The attribute is missing.
        ValueError: It is not a finite number, or not above `above`.
        TypeError: It is not a number.
    """
    number = float(attributes[name])
    if not above < number < math.inf:
        raise ValueError(f"{name} is {number}")
    return number


def _check_chunks(dataset: h5py.Dataset, name: str) -> None:
    """Raise a ValueError unless the chunks of a dataset make up its array, each of a plausible size.

    Their index is the only part of a file without a checksum. HDF5 reads fill values where it does not find a chunk,
    and skips the checksum of a chunk whose filters are marked as off.
    """
    sides, shape = dataset.chunks, dataset.shape
    if any(side > max(length, 1) for side, length in zip(sides, shape, strict=True)):
        raise ValueError(f"{name} is stored in chunks of {sides}, larger than itself")
    found: list[Any] = []
    dataset.id.chunk_iter(found.append)
    expected = list(product(*(range(0, length, side) for length, side in zip(shape, sides, strict=True))))
    if sorted(chunk.chunk_offset for chunk in found) != expected or any(chunk.filter_mask for chunk in found):
        raise ValueError(f"{name} lacks some of its chunks")
    most = math.prod(sides) * dataset.dtype.itemsize
    if max((chunk.size for chunk in found), default=0) > most + most // SLACK_SHARE + SLACK_BYTES:
        raise ValueError(f"{name} is stored in more bytes than it has")
    for chunk in found:  # listing ignores the upper bounds in the index, by which reading finds them
        dataset.id.read_direct_chunk(chunk.chunk_offset)


def _fits(found: tuple[int, ...] | None, wanted: Shape) -> bool:
    if found is None or len(found) != len(wanted):
        return False
    return all(n in w if isinstance(w, range) else n == w for n, w in zip(found, wanted, strict=True))


def _text(shape: Shape) -> str:
    parts = [f"{n.start} to {n.stop - 1}" if isinstance(n, range) else str(n) for n in shape]
    return f"({', '.join(parts)})"
