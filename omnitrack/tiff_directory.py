"""Metadata of a TIFF's pages without decoding them: sizes, bit depth, and the axes and frame rates of microscopes.

Source:
    TIFF 6.0, section 2, and BigTIFF, whose offsets have eight bytes; ImageJ's `TiffEncoder`; OME-XML 2016-06.
"""

from __future__ import annotations

import math
import os
import re
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

WIDTH, HEIGHT, BITS, PHOTOMETRIC, DESCRIPTION, SAMPLES, PLANAR = 256, 257, 258, 262, 270, 277, 284
WHITE_IS_ZERO, SEPARATE_PLANES = 0, 2
_WANTED = {WIDTH, HEIGHT, BITS, PHOTOMETRIC, DESCRIPTION, SAMPLES, PLANAR}
_TEXT = 2
_TYPES = {1: "B", 2: "s", 3: "H", 4: "I", 16: "Q"}  # the field types that these tags may have
_MOST_TEXT_BYTES = 1 << 24
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6, "min": 60.0, "h": 3600.0}


@dataclass
class TiffDirectory:
    """The chain of pages of a TIFF.

    Attributes:
        sizes: (width, height) of each page in pixels.
        is_whole: Whether the chain is complete.
        first: Tags of the first page: numbers, and its description as text.
    """

    sizes: list[tuple[int, int]] = field(default_factory=list)
    is_whole: bool = True
    first: dict[int, int | str] = field(default_factory=dict)

    @property
    def lengths(self) -> dict[str, int]:
        """Lengths of the axes T, Z and C, or of ImageJ's images I, in the description; empty if it has none."""
        text = str(self.first.get(DESCRIPTION, ""))
        if text.startswith("ImageJ="):
            known = {"T": "frames", "Z": "slices", "C": "channels"}
            found = {axis: int(_number(_line(text, key))) or 1 for axis, key in known.items()}
            return found if max(found.values()) > 1 else {"I": int(_number(_line(text, "images"))) or 1}
        pixels = _ome_pixels(text)
        if not pixels:
            return {}
        found = {axis: int(_number(_attribute(pixels, f"Size{axis}"))) or 1 for axis in "TZC"}
        return {**found, "C": max(1, found["C"] // int(self.first.get(SAMPLES, 1)))}  # OME counts samples as channels

    @property
    def fps(self) -> float | None:
        """Frames per second in the description (finterval, TimeIncrement); None if it has none."""
        text = str(self.first.get(DESCRIPTION, ""))
        if text.startswith("ImageJ="):
            step, unit = _line(text, "finterval"), _line(text, "tunit")
        else:
            pixels = _ome_pixels(text)
            step, unit = _attribute(pixels, "TimeIncrement"), _attribute(pixels, "TimeIncrementUnit")
        seconds = _number(step) * _SECONDS.get(unit or "s", 0.0)
        return 1 / seconds if 0 < seconds < math.inf else None


def read_directory(path: Path) -> TiffDirectory:
    """Walk through the pages of a file; a file that is not a TIFF has none."""
    with path.open("rb") as file:
        return walk_directory(file)


def walk_directory(file: BinaryIO) -> TiffDirectory:
    """Walk through the pages of an open file; a file that is not a TIFF has none."""
    found, seen = TiffDirectory(), set()
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    if head[:2] not in (b"II", b"MM") or len(head) < 16:
        return found
    is_big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    counter, entry, pointer = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    offset = struct.unpack_from(order + pointer, head, 8 if is_big else 4)[0]
    left = length_of_file = file.seek(0, os.SEEK_END)
    while 0 < offset < length_of_file and offset not in seen:
        seen.add(offset)
        file.seek(offset)
        counted = file.read(struct.calcsize(counter))
        is_counted = len(counted) == struct.calcsize(counter)
        length = entry * struct.unpack(order + counter, counted)[0] if is_counted else 0
        left -= length  # otherwise overlapping directories would be read almost endlessly
        block = file.read(min(length, _MOST_TEXT_BYTES)) if left >= 0 else b""
        following = file.read(struct.calcsize(pointer))
        if len(block) < length or not length or len(following) < struct.calcsize(pointer):
            found.is_whole = False
            return found
        tags = _tags(file, block, order, is_big, wants_text=not found.sizes)
        found.first = found.first or tags
        found.sizes.append((int(tags.get(WIDTH, 0)), int(tags.get(HEIGHT, 0))))
        offset = struct.unpack(order + pointer, following)[0]
    found.is_whole = offset == 0
    return found


def _tags(file: BinaryIO, block: bytes, order: str, is_big: bool, wants_text: bool) -> dict[int, int | str]:
    entry, count_type, value_at, room = (20, "Q", 12, 8) if is_big else (12, "I", 8, 4)
    found: dict[int, int | str] = {}
    for start in range(0, len(block) - entry + 1, entry):
        tag, kind = struct.unpack_from(f"{order}HH", block, start)
        if tag not in _WANTED or kind not in _TYPES or (kind == _TEXT) != (tag == DESCRIPTION):
            continue
        count = struct.unpack_from(order + count_type, block, start + 4)[0]
        size = count * struct.calcsize(_TYPES[kind])
        value = block[start + value_at : start + value_at + room]
        if size > room:
            if kind == _TEXT and not wants_text:
                continue
            file.seek(min(struct.unpack(order + count_type, value)[0], sys.maxsize))
            value = file.read(min(size, _MOST_TEXT_BYTES))
        if kind == _TEXT:
            found[tag] = value[:size].rstrip(b"\0").decode("utf-8", "replace")
        elif len(value) >= struct.calcsize(_TYPES[kind]):
            found[tag] = struct.unpack_from(order + _TYPES[kind], value)[0]
    return found


def _line(text: str, key: str) -> str | None:
    found = re.search(rf"^{key}=(\S+)", text, re.MULTILINE)
    return found[1] if found else None


def _ome_pixels(text: str) -> str:
    """Return the opening tag ``Pixels`` of the first image; the XML is not parsed further."""
    found = re.search(r"<(?:\w+:)?Pixels\s[^>]*>", text) if "<OME" in text or ":OME" in text else None
    return found[0] if found else ""


def _attribute(tag: str, name: str) -> str | None:
    found = re.search(rf'\b{name}="([^"]*)"', tag)
    return found[1] if found else None


def _number(text: str | None) -> float:
    try:
        return float(text or 0)
    except ValueError:
        return 0.0
