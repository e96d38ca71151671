"""Reading depth from OpenEXR files, as renderers write them; OpenCV is mostly built without.

Source: the OpenEXR file layout, https://openexr.com/en/latest/OpenEXRFileLayout.html: scan lines, one part, not
compressed or by zlib (ZIP, ZIPS), which are what Blender and most converters write.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content

MAGIC = b"\x76\x2f\x31\x01"
NOT_SINGLE_SCAN_LINES = 0x1A00  # flags of the version: tiles, deep data, several parts
TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
LINES = {0: 1, 2: 1, 3: 16}  # lines per block of: no compression, ZIPS, ZIP
OTHERS = {1: "RLE", 4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
DEPTH_CHANNELS = ("Z", "DEPTH", "V", "Y", "R")  # in the order of preference, whatever layer they are in


@dataclass(frozen=True)
class _Header:
    channels: Sequence[tuple[str, np.dtype[Any]]]
    compression: int
    shape: tuple[int, int]
    first_line: int
    end: int


def read_exr(path: Path) -> NDArray[np.float32]:
    """The depth channel of an OpenEXR file, (h, w) float32: Z, else depth, V, Y or R, else the only one.

    Raises:
        OmnitrackError: Not an OpenEXR file, cut short, of a layout that is not read, or without such a channel.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OmnitrackError(f"cannot read {path}: {error.strerror}", "check that file") from error
    if not data.startswith(MAGIC):
        raise OmnitrackError(f"{path} is not an OpenEXR file", "make it anew, or remove it")
    try:
        if struct.unpack_from("<I", data, 4)[0] & NOT_SINGLE_SCAN_LINES:
            raise _unread(path, "tiles or several parts")
        header = _header(data)
        if header.compression not in LINES:
            raise _unread(path, f"the compression {OTHERS.get(header.compression, header.compression)}")
        height, width = header.shape
        if min(height, width) < 1:
            raise ValueError("no pixels")
        needed = height * width * sum(max(kind.itemsize, 4) for _, kind in header.channels)
        check_content(f"{path}, {width}x{height} pixels,", needed, len(data))
        return _channel(data, header, _depth_channel(path, header))
    except OmnitrackError:
        raise
    except Exception as error:  # numbers that lead nowhere, in struct, zlib, numpy or a list
        raise OmnitrackError(f"{path} is damaged or cut short", "make it anew, or remove it") from error


def _unread(path: Path, what: str) -> OmnitrackError:
    return OmnitrackError(f"{path} has {what}, which is not read here", "save it as scan lines with ZIP, or as npy")


def _header(data: bytes) -> _Header:
    attributes, at = {}, 8
    while data[at]:
        name, at = _text(data, at)
        _, at = _text(data, at)  # its type follows from its name
        (size,) = struct.unpack_from("<i", data, at)
        attributes[name] = data[at + 4 : at + 4 + size]
        at += 4 + size
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    channels, place, listed = [], 0, attributes["channels"]
    while listed[place]:
        name, place = _text(listed, place)
        kind, _, across, down = struct.unpack_from("<iiii", listed, place)
        if (across, down) != (1, 1):
            raise ValueError("subsampled channel")
        channels.append((name, TYPES[kind]))
        place += 16
    return _Header(channels, attributes["compression"][0], (bottom - top + 1, right - left + 1), top, at + 1)


def _text(data: bytes, at: int) -> tuple[str, int]:
    end = data.index(0, at)
    return data[at:end].decode("latin-1"), end + 1


def _depth_channel(path: Path, header: _Header) -> int:
    names = [name.rpartition(".")[2].upper() for name, _ in header.channels]
    for wanted in DEPTH_CHANNELS:
        if wanted in names:
            return names.index(wanted)
    if len(names) == 1:
        return 0
    listed = ", ".join(name for name, _ in header.channels)
    raise OmnitrackError(f"{path} has no channel of depth: it has {listed}", "save the depth as channel Z")


def _channel(data: bytes, header: _Header, wanted: int) -> NDArray[np.float32]:
    height, width = header.shape
    line_bytes = [kind.itemsize * width for _, kind in header.channels]
    begin, kind = sum(line_bytes[:wanted]), header.channels[wanted][1]
    image = np.empty(header.shape, np.float32)
    lines = LINES[header.compression]
    blocks = -(-height // lines)
    filled = np.zeros(height, bool)
    for offset in struct.unpack_from(f"<{blocks}Q", data, header.end):
        line, size = struct.unpack_from("<ii", data, offset)
        row = line - header.first_line
        count = min(lines, height - row)
        packed = data[offset + 8 : offset + 8 + size]
        plain = _unpacked(packed, count * sum(line_bytes), header.compression)
        rows = np.frombuffer(plain, np.uint8).reshape(count, sum(line_bytes))
        picked = np.ascontiguousarray(rows[:, begin : begin + line_bytes[wanted]])
        image[row : row + count] = picked.view(kind)
        filled[row : row + count] = True
    if not filled.all():
        raise ValueError("lines are missing")
    return image


def _unpacked(packed: bytes, size: int, compression: int) -> bytes:
    """A block as it was: its bytes are sums of differences, the even ones in the first half."""
    if compression == 0 or len(packed) == size:  # what does not get smaller is stored as it is
        return packed
    coded = np.frombuffer(zlib.decompressobj().decompress(packed, size), np.uint8).copy()
    coded[1:] -= 128  # bytes wrap, as the sums do
    halves = np.cumsum(coded, dtype=np.uint8)
    plain = np.empty(size, np.uint8)
    plain[0::2], plain[1::2] = halves[: (size + 1) // 2], halves[(size + 1) // 2 :]
    return plain.tobytes()
