"""Reading .npy and .npz files of other programs: an array's size is checked in its header before it is read."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content

_KINDS = "biufcSU"  # numbers and text; the caller refuses complex arrays by name
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_PIECE = 1 << 20


def read_npy(path: Path) -> NDArray[Any]:
    """Read the array of a .npy file.

    Raises:
        ValueError: The file is damaged or truncated, or contains objects or records.
        OmnitrackError: The array would take more memory than `omnitrack.limits` allows.
        OSError: The file cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        return _known(lambda: _array(file, size, str(path), size)[0])


def read_npz(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, NDArray[Any]]:
    """Read some arrays of a .npz file.

    Args:
        path: The file.
        choose: Called with the names of all arrays; returns the names of the arrays to read.

    Raises:
        ValueError: The file is damaged, truncated or not a .npz, or one of the arrays contains objects or records.
        OmnitrackError: The arrays together would take more memory than `omnitrack.limits` allows; or an error of
            `choose`.
        OSError: The file cannot be read.
    """
    stored = path.stat().st_size
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError("no zip directory at its end")
        with _known(lambda: zipfile.ZipFile(file)) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            return _known(lambda: _arrays(archive, choose(names), str(path), stored))


def _arrays(archive: zipfile.ZipFile, names: Iterable[str], what: str, stored: int) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {}
    taken = 0
    for name in dict.fromkeys(names):
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type not in _COMPRESSIONS:
            raise ValueError(f"{name} is compressed by another method than deflate")
        with archive.open(entry) as file:
            found[name], took = _array(file, entry.file_size, what, stored, taken)
        taken += took
    return found


def _array(file: IO[bytes], size: int, what: str, stored: int, taken: int = 0) -> tuple[NDArray[Any], int]:
    """Read the array at the current position of `file`; return it and its size in memory.

    Args:
        file: The open file.
        size: Bytes of the array, header included.
        what: Name of the whole file.
        stored: Size of the whole file on disk.
        taken: Memory that the arrays before it took.
    """
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(file)
    if dtype.hasobject or dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"holds {'objects' if dtype.hasobject else dtype}, not numbers")
    if not all(side >= 0 for side in shape):
        raise ValueError(f"holds an array of the shape {shape}")
    # One axis may be empty and another one huge: arrays made from the shape of this one may not be empty.
    check_content(what, taken + math.prod(max(side, 1) for side in shape) * dtype.itemsize, stored)
    count = math.prod(shape) * dtype.itemsize
    if file.tell() + count != size:
        raise ValueError(f"an array of the shape {shape} needs {count} bytes, and {size - file.tell()} are there")
    data = np.empty(count, np.uint8)
    place = data.data
    while len(place):
        piece = file.read(min(len(place), _PIECE))
        if not piece:
            raise ValueError("it is cut short")
        place[: len(piece)] = piece
        place = place[len(piece) :]
    if file.read(1):  # in a zip, this read verifies its checksum
        raise ValueError("it is longer than it says")
    return data.view(dtype).reshape(shape, order="F" if in_columns else "C"), count


def _known(read: Callable[[], Any]) -> Any:
    """Return the result of `read`; any error of numpy, zip or zlib on damaged data becomes a ValueError."""
    try:
        return read()
    except (OmnitrackError, OSError, ValueError):
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
