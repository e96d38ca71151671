"""Positions in the canonical volume as colours."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.palette import position_colours

SQUARES = 24  # along the longer side: large enough to follow by eye, small enough to reveal a slip of a few pixels
EDGE_SHARPNESS = 8.0  # of the squares; their edges blend over about a twelfth of a square
DARK_SQUARE, FAR = 0.85, 0.8  # brightness of every other square, and of the far end of the volume


def canonical_colours(
    places: NDArray[np.floating],
    low: NDArray[np.floating],
    high: NDArray[np.floating],
    opacity: NDArray[np.floating],
) -> NDArray[np.uint8]:
    """Colour surfaces by their position in the canonical volume: a surface keeps its colour while it is tracked.

    x and y give hue and lightness (`position_colours`); colours darken with distance (z). A checkerboard is fixed to x
    and y: where the field lets a surface slip, the squares visibly slide over it.

    Args:
        places: (H, W, 3) x, y and z; smaller z is nearer.
        low: (3,) start of the colour range; if it and `high` are fixed for a clip, its frames stay comparable.
        high: (3,) end of the colour range; positions outside get the colours of the nearest end.
        opacity: (H, W) in [0, 1]: density of the volume; colours fade to black where it is thin.

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
