"""Images whose values are labels, as saved by a segmentation or a painted mask of several objects."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import PNG
from omnitrack.video.images import read_pixels
from omnitrack.video.tiff import TIFF_SUFFIXES, read_tiff_picture

LABEL_SUFFIXES = (".png", *TIFF_SUFFIXES)
_COLOUR_TYPE, _PALETTE = 25, 3  # byte offset of the colour type in a PNG, and the type with a palette


def read_label_image(path: Path) -> NDArray[np.int64]:
    """Read the label of each pixel, (H, W); 0 is none. Labels are grey values, or palette indices of colours.

    Raises:
        OmnitrackError: The file cannot be read, is in colour, or contains values that are not labels.
    """
    pixels = read_tiff_picture(path) if path.suffix.lower() in TIFF_SUFFIXES else _read_png(path)
    grey = pixels[..., 0]
    if pixels.shape[2] > 1 and (pixels[..., :3] != pixels[..., :1]).any():
        raise OmnitrackError(
            f"{path} is a picture in colour, not of labels", "save labels as grey values, or with a palette"
        )
    if (grey < 0).any() or not (np.isfinite(grey) & (grey == np.floor(grey))).all():
        raise OmnitrackError(f"{path} holds numbers that are no labels", "labels are 1, 2, 3 ..., and 0 is none")
    return grey.astype(np.int64)


def _read_png(path: Path) -> NDArray[Any]:
    """Return (H, W, C); with a palette, (H, W, 1) palette indices, which OpenCV would convert to colours."""
    pixels = read_pixels(path)  # refuses damaged and too large files
    data = path.read_bytes()
    if not (data.startswith(PNG) and data[_COLOUR_TYPE] == _PALETTE):
        return pixels
    from PIL import Image  # which imageio requires

    with Image.open(BytesIO(data)) as image:
        return np.asarray(image)[..., None]
