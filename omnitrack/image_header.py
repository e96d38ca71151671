"""The size of an image from its header, known before a decoder allocates memory for the pixels.

Reads the seven supported formats, which are recognised by their content, not by the file name.
"""

from __future__ import annotations

import re
from io import BytesIO

from omnitrack.limits import check_content
from omnitrack.tiff_directory import walk_directory

PIXEL_BYTES = 8  # RGBA of 16 bits
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_SIZ_BYTES = 20  # of the SIZ segment in JPEG 2000, up to the near corner
_JP2 = b"\xff\x4f\xff\x51"  # start of a JPEG 2000 codestream; its size follows

Size = tuple[int, int]


def image_size(data: bytes) -> Size | None:
    """Return (width, height) of an image as stored; of the largest one if the file has several.

    Args:
        data: Bytes of the whole file.

    Returns:
        None if the format is unknown or the header is damaged.
    """
    if data.startswith(PNG):
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(JPEG):
        return _jpeg_size(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp_size(data)
    if data.startswith(_TIFF):
        return max(walk_directory(BytesIO(data)).sizes, key=_area, default=None)
    if data.startswith(b"BM"):
        wide = 2 if data[14:15] == b"\x0c" else 4  # the header of OS/2 is shorter
        sides = [int.from_bytes(data[18 + at * wide :][:wide], "little", signed=wide == 4) for at in (0, 1)]
        return abs(sides[0]), abs(sides[1])  # a negative height: rows from the top down
    if found := _PNM.match(data[:4096]):
        return int(found[1]), int(found[2])
    segments = [data[match.end() : match.end() + _SIZ_BYTES] for match in re.finditer(re.escape(_JP2), data)]
    return max((_codestream_size(one) for one in segments if len(one) == _SIZ_BYTES), key=_area, default=None)


def check_image(what: str, data: bytes) -> Size | None:
    """Return the size of an image; refuse it if its pixels would take more memory than `omnitrack.limits` allows.

    Args:
        what: Name of the image, for the message.
        data: Bytes of the whole file.

    Raises:
        OmnitrackError: The image is too large.
    """
    size = image_size(data)
    if size is not None:
        check_content(f"{what}, {size[0]}x{size[1]} pixels,", _area(size) * PIXEL_BYTES)
    return size


def _jpeg_size(data: bytes) -> Size | None:
    """Size from the frame header (SOF), after any number of other segments."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
        alone = marker in (0xFF, 0x01) or 0xD0 <= marker <= 0xD8  # fill bytes, and markers without a segment
        at += (1 if marker == 0xFF else 2) if alone else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_size(data: bytes) -> Size | None:
    """Size from the first chunk: extended, lossless or lossy."""
    kind = data[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _codestream_size(fields: bytes) -> Size:
    """Size from the SIZ segment: length and capabilities, then the far corner and the near corner."""
    right, bottom, left, top = (int.from_bytes(fields[at : at + 4], "big") for at in (4, 8, 12, 16))
    return right - left, bottom - top


def _area(size: Size) -> int:
    return size[0] * size[1]
