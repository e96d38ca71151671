"""Properties of a video stream from ffmpeg's log line: rate, bit depth, and warnings."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from omnitrack.video.reader import DEFAULT_FPS

_INTERLACED = re.compile(r"\b(top|bottom) (?:first|coded first)")
_PIXEL_SHAPE = re.compile(r"\bSAR (\d+):(\d+)")
_HDR = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
_OPEN_DEPTH = re.compile(r"^(?:gray16|ya16|rgb48|bgr48|rgba64|bgra64|gbrp16|gbrap16)")
_TONE_MAP = "zscale=t=linear:npl=100,format=gbrpf32le,tonemap=hable,zscale=t=bt709:m=bt709:p=bt709,format=yuv420p"


def stream_warnings(stream: str, path: Path) -> tuple[str, ...]:
    """Return possible problems of a readable stream, each with the command that fixes it.

    Args:
        stream: ffmpeg's log line of the stream.
        path: The file.
    """
    found = []
    if _INTERLACED.search(stream):
        found.append(f"{path} is interlaced, which shows combed edges as motion: {_mend(path, 'bwdif')}")
    shape = _PIXEL_SHAPE.search(stream)
    if shape and int(shape[1]) != int(shape[2]) and int(shape[1]) and int(shape[2]):
        command = _mend(path, "scale=round(iw*sar/2)*2:round(ih/2)*2,setsar=1")
        found.append(f"{path} has pixels of {shape[1]}:{shape[2]}, tracks are in stored pixels; square ones: {command}")
    curve = next((name for mark, name in _HDR.items() if mark in stream), None)
    if curve:
        found.append(f"{path} is HDR ({curve}), its frames look flat; for display: {_mend(path, _TONE_MAP)}")
    return tuple(found)


def pixel_format(stream: str) -> str:
    """Return ffmpeg's pixel format of a stream; empty if there is none."""
    found = re.search(r": Video: [^,]*, (\w+)", stream)
    return found[1] if found else ""


def has_open_depth(stream: str) -> bool:
    """Whether pixels have 16 bits, which may also store values of cameras with fewer bits."""
    return bool(_OPEN_DEPTH.match(pixel_format(stream)))


def stream_rate(stream: str) -> float:
    """Return frames per second: a stream's mean rate, else its nominal rate."""
    found = re.search(r"([\d.]+)(k?) fps", stream) or re.search(r"([\d.]+)(k?) tbr", stream)
    if not found:
        return DEFAULT_FPS
    printed = float(found[1]) * (1000 if found[2] else 1)
    ntsc = round(printed * 1.001) * 1000 / 1001  # ffmpeg prints two decimals: 29.97 stands for 30000 / 1001
    return ntsc if round(ntsc, 2) == printed and not printed.is_integer() else printed


def _mend(path: Path, filters: str) -> str:
    out = path.with_name(f"{path.stem}_mended.mp4")
    return shlex.join(["ffmpeg", "-i", str(path), "-vf", filters, "-crf", "12", str(out)])
