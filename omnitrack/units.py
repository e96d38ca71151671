"""The one unit of lengths: px at 256 x 256.

Thresholds, errors and losses are in pixels of TAP-Vid's raster, 256 x 256 pixels over the whole frame, so that one
value suits every frame size. In a frame that is not square, a raster pixel is not square either; a length without a
direction is converted by the geometric mean of its sides, so that areas are correct.
"""

from __future__ import annotations

import math

RASTER_PX = 256  # pixels of the raster along either side of the frame


def raster_scale(size: tuple[int, int]) -> float:
    """Return the pixels of a frame of `size` (width, height) per px at 256 x 256: sqrt(width height) / 256.

    >>> raster_scale((512, 512))
    2.0
    """
    return math.sqrt(size[0] * size[1]) / RASTER_PX
