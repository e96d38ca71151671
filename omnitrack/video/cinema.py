"""Stills of film work, which only ffmpeg reads: EXR in linear light, DPX in 8 bits as it is stored."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.ffmpeg import Ffmpeg, input_file

LIGHT_SUFFIXES = (".exr",)
CINEMA_SUFFIXES = (*LIGHT_SUFFIXES, ".dpx")
_MAGIC = b"\x76\x2f\x31\x01"
_TILED, _DEEP, _SEVERAL_PARTS = 0x200, 0x800, 0x1000  # bits of the version field
_PLANES = {"gbrap": "GBRA", "gbrp": "GBR", "gray": "G"}  # of ffmpeg's pixel formats, in their order


def read_cinema(path: Path) -> NDArray[Any]:
    """Read an EXR as (H, W, 1, 3 or 4) floats in linear light, or a DPX as (H, W, 3) uint8 RGB as it is stored.

    Of an EXR's parts and layers the first is read, in its display window.

    Raises:
        OmnitrackError: The file is missing, damaged or no such image.
    """
    try:
        is_light = path.suffix.lower() in LIGHT_SUFFIXES
        if is_light and not _is_whole(path.read_bytes()):
            raise _damaged(path, "it is damaged, incomplete or no EXR")
    except OSError as error:
        raise _damaged(path, str(error.strerror)) from error
    # EXR is taken as it is decoded: ffmpeg's conversions clip light at 1.
    depth = [] if is_light else ["-pix_fmt", "rgb24"]
    with Ffmpeg(*input_file(path), "-frames:v", "1", "-f", "rawvideo", *depth, "pipe:1") as decoder:
        data = decoder.stdout.read()
        decoder.wait()
        complaint = next(iter(decoder.complaints()), None)
        streams = decoder.video_streams()
    written = re.search(r": Video: .*?, (\w+)(?:\(.*?\))?, (\d+)x(\d+)", streams[-1]) if streams else None
    if complaint or not written:
        raise _damaged(path, complaint or "it is no image")
    name, width, height = written.groups()
    kind = re.fullmatch(r"(gbrap|gbrp|gray)f(16|32)le", name)
    names = _PLANES[kind[1]] if kind else ""
    dtype = np.dtype(f"<f{int(kind[2]) // 8}") if kind else np.dtype(np.uint8)
    shape = (int(height), int(width))
    if (is_light and not kind) or len(data) != shape[0] * shape[1] * (len(names) or 3) * dtype.itemsize:
        raise _damaged(path, f"ffmpeg decodes {len(data)} bytes of {name} for {width}x{height} pixels")
    if not kind:
        return np.frombuffer(data, dtype).reshape(*shape, 3)
    planes = np.frombuffer(data, dtype).reshape(len(names), *shape)
    order = [names.index(channel) for channel in ("RGBA" if "R" in names else "G") if channel in names]
    return np.stack([planes[place] for place in order], axis=-1)


def _damaged(path: Path, cause: str) -> OmnitrackError:
    return OmnitrackError(f"image {path} cannot be read: {cause}", "repair or remove that file")


def _is_whole(data: bytes) -> bool:
    """Whether all of an EXR's blocks are there; ffmpeg leaves black what is missing, without a word.

    Source:
        OpenEXR File Layout: headers, a table of the offsets of all blocks, the blocks.
    """
    try:
        version = struct.unpack_from("<I", data, 4)[0]
        at = _end_of_headers(data, bool(version & _SEVERAL_PARTS))
        offsets: list[int] = []
        while not offsets or at < min(offsets):  # the first block follows the table, wherever its entry is
            offsets.append(struct.unpack_from("<Q", data, at)[0])
            at += 8
        last = max(offsets)
        if version & _DEEP:
            return data.startswith(_MAGIC) and min(offsets) == at and last < len(data)
        part = 4 if version & _SEVERAL_PARTS else 0
        sizes = {4, 16} if version & _SEVERAL_PARTS else {16} if version & _TILED else {4}  # of a block's place
        ends = [last + part + place + 4 + struct.unpack_from("<i", data, last + part + place)[0] for place in sizes]
        return data.startswith(_MAGIC) and min(offsets) == at and min(ends) <= len(data)
    except (struct.error, IndexError, ValueError, OverflowError):
        return False


def _end_of_headers(data: bytes, are_several: bool) -> int:
    """Where the table of offsets begins. A header is a list of name, type, size and value, ended by an empty name."""
    at = 8
    while True:
        while data[at]:
            for _ in ("name", "type"):
                at = data.index(b"\0", at) + 1
            at += 4 + struct.unpack_from("<I", data, at)[0]
        at += 1
        if not are_several:
            return at
        if data[at : at + 1] == b"\0":  # after the last of several headers
            return at + 1
