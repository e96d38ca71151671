"""Image formats of film production: EXR in linear light, by OpenEXR, and DPX as stored, in 8 bits, by ffmpeg."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.exr import Choice, ExrPart, read_exr
from omnitrack.video.ffmpeg import Ffmpeg, input_file

LIGHT_SUFFIXES = (".exr",)
CINEMA_SUFFIXES = (*LIGHT_SUFFIXES, ".dpx")
_COLOURS = ("R", "G", "B")
_LUMINANCE = "Y"


def read_cinema(path: Path) -> NDArray[Any]:
    """Read an EXR as (H, W, 1 or 3) floats in linear light, or a DPX as (H, W, 3) uint8 RGB without colour conversion.

    The first image with colours in an EXR is read, images without a layer name first, else the luminance or the only
    channel. EXR colours are premultiplied, so over black they are unchanged.

    Raises:
        OmnitrackError: The file is missing, damaged or not such an image, or OpenEXR is not installed.
    """
    if path.suffix.lower() in LIGHT_SUFFIXES:
        return read_exr(path, lambda parts: _picture(path, parts))
    return _read_dpx(path)


def _picture(path: Path, parts: Sequence[ExrPart]) -> Choice:
    """Choose the channels to show."""
    layers = [(index, layer) for index, part in enumerate(parts) for layer in _layers(part)]
    layers.sort(key=lambda place: bool(place[1]))  # images without a layer first, else in the file's order
    for wanted in (_COLOURS, (_LUMINANCE,)):
        for index, layer in layers:
            names = [layer + name for name in wanted]
            if set(names) <= set(parts[index].channels):
                return index, names
    single = [part.channels for part in parts]
    if len(single) == 1 and len(single[0]) == 1:
        return 0, single[0]
    listed = ", ".join(name for part in parts for name in part.channels)
    raise OmnitrackError(f"{path} is not a picture: its channels are {listed}", "save the picture as R, G and B")


def _layers(part: ExrPart) -> list[str]:
    """Return the layer prefixes of the channel names, with their dots."""
    return list(dict.fromkeys(name[: name.rfind(".") + 1] for name in part.channels))


def _read_dpx(path: Path) -> NDArray[np.uint8]:
    if not path.is_file():
        raise _damaged(path, "there is no such file")
    with Ffmpeg(*input_file(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1") as decoder:
        data = decoder.stdout.read()
        decoder.wait()
        complaint = next(iter(decoder.complaints()), None)
        streams = decoder.video_streams()
    written = re.search(r": Video: .*?, \w+(?:\(.*?\))?, (\d+)x(\d+)", streams[-1]) if streams else None
    if complaint or not written:
        raise _damaged(path, complaint or "it is no image")
    width, height = map(int, written.groups())
    if len(data) != height * width * 3:
        raise _damaged(path, f"ffmpeg decodes {len(data)} bytes for {width}x{height} pixels")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _damaged(path: Path, cause: str) -> OmnitrackError:
    return OmnitrackError(f"image {path} cannot be read: {cause}", "repair or remove that file")
