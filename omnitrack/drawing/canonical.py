"""Places in the canonical volume as colours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.palette import position_colours

SQUARES = 24  # along the longer side: large enough to follow by eye, small enough that a slip of some pixels shows
EDGE_SHARPNESS = 8.0  # of the squares; their edges blend over about a twelfth of one
DARK_SQUARE, FAR = 0.85, 0.8  # brightness of every other square, and of the far end


def canonical_colours(
    places: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    opacity: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """Colour surfaces by where they are in the canonical volume: a surface keeps its colour as long as it is tracked.

    Hue and lightness by x and y (`position_colours`), darker with distance (z), under a chequer of squares that are
    fixed to x and y: where the field lets a surface slip, the squares visibly slide over it.

    Args:
        places: (H, W, 3) x, y and z; smaller z is nearer.
        low: (3,) begin of the colours; with `high` fixed for a clip, its frames stay comparable.
        high: (3,) end of the colours; what lies outside has those of the nearest end.
        opacity: (H, W) in [0, 1]: how dense the volume is there; it fades to black where it is thin.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    extent = np.maximum(np.asarray(high, np.float64) - low, 1e-9)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    colours = position_colours(places[..., :2].reshape(-1, 2), box).reshape(places.shape)
    turns = (places[..., :2] - low[:2]) * (math.pi * SQUARES / extent[:2].max())
    waves = np.clip(EDGE_SHARPNESS * np.sin(turns), -1, 1)  # squares with soft edges
    light = (1 + waves[..., 0] * waves[..., 1]) / 2
    nearness = np.clip((high[2] - places[..., 2]) / extent[2], 0, 1)
    brightness = (DARK_SQUARE + (1 - DARK_SQUARE) * light) * (FAR + (1 - FAR) * nearness)
    brightness *= np.clip(opacity, 0, 1)
    return np.rint(colours * brightness[..., None]).astype(np.uint8)
