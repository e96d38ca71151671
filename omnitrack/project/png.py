"""Whether a PNG is whole, and how large it is, before it is decoded: OpenCV accepts half an image."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from omnitrack.image_header import PNG

AROUND = 12  # bytes of a chunk in addition to its data: length, name, checksum
FIRST = len(PNG) + AROUND + 13  # bytes, up to the end of the header chunk
LAST = b"\0\0\0\0IEND\xaeB`\x82"


def png_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels from the header of a PNG; None if the file is truncated or damaged.

    Source:
        Portable Network Graphics (W3C), 5.3: chunks have a length, a name, data and the CRC-32 of name and data.
    """
    if not data.startswith(PNG):
        return None
    size: tuple[int, int] | None = None
    at, name = len(PNG), b""
    view = memoryview(data)
    while at + AROUND <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + AROUND + length
        if end > len(data) or zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return None
        if name == b"IHDR":
            width, height = struct.unpack_from(">II", data, at + 8)
            size = width, height
        at = end
    return size if name == b"IEND" and at == len(data) else None


def begins_and_ends(path: Path, size: tuple[int, int]) -> bool:
    """Return whether a file begins and ends like a PNG of that size: a quick check without reading all of it.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        first = file.read(FIRST)
        file.seek(-min(len(LAST), len(first)), os.SEEK_END)
        return png_size(first + LAST) == size and file.read() == LAST
