"""The one unit of lengths: px at 256 x 256.

Thresholds, errors and losses are in pixels of TAP-Vid's raster, 256 x 256 pixels laid over the whole frame, so that one
value serves every frame size. A frame of another shape has other pixels along x than along y; a length that has no
direction is converted by their geometric mean, so that areas are right.
"""

from __future__ import annotations

import math

RASTER_PX = 256  # pixels of the raster along either side of the frame


def raster_scale(size: tuple[int, int]) -> float:
    """Pixels of a frame of `size` (width, height) that make one px at 256 x 256: sqrt(width height) / 256.

    >>> raster_scale((512, 512))
    2.0
    """
    return math.sqrt(size[0] * size[1]) / RASTER_PX
