"""Reading .npy and .npz of other programs: the header of an array says what it takes before any of it is read."""

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

_KINDS = "biufcSU"  # numbers and text; complex ones are for the caller to refuse by name
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # what numpy writes
_PIECE = 1 << 20


def read_npy(path: Path) -> NDArray[Any]:
    """The array of a .npy.

    Raises:
        ValueError: The file is damaged, cut short, or holds objects or records.
        OmnitrackError: It would take more memory than `omnitrack.limits` allows.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        return _known(lambda: _array(file, size, str(path), size)[0])


def read_npz(path: Path, choose: Callable[[list[str]], Iterable[str]]) -> dict[str, NDArray[Any]]:
    """Some arrays of a .npz.

    Args:
        path: The file.
        choose: Is given the names of all, and returns those that are read.

    Raises:
        ValueError: The file is damaged, cut short or no .npz, or an array of it holds objects or records.
        OmnitrackError: The arrays would together take more memory than `omnitrack.limits` allows; or what `choose`
            raises.
        OSError: It cannot be read.
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
    """The array at the place where `file` is, and what it takes in memory.

    Args:
        file: Open.
        size: How many bytes there are, header included.
        what: Names the whole file.
        stored: Size of the whole file on disk.
        taken: What arrays before took.
    """
    version = np.lib.format.read_magic(file)
    read_header = np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
    shape, in_columns, dtype = read_header(file)
    if dtype.hasobject or dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"holds {'objects' if dtype.hasobject else dtype}, not numbers")
    if not all(side >= 0 for side in shape):
        raise ValueError(f"holds an array of the shape {shape}")
    # An axis may be empty and another one beyond all measure: what is made beside such an array is not empty.
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
    if file.read(1):  # in a zip, this is where its checksum is looked at
        raise ValueError("it is longer than it says")
    return data.view(dtype).reshape(shape, order="F" if in_columns else "C"), count


def _known(read: Callable[[], Any]) -> Any:
    """What `read` returns; numpy, zip and zlib fail in their own ways on what is damaged."""
    try:
        return read()
    except (OmnitrackError, OSError, ValueError):
        raise
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
