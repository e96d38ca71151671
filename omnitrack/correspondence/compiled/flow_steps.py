"""The reading of flow in `flow_steps.py`, compiled and bit-identical."""

from __future__ import annotations

import numpy as np

from omnitrack.compiling import exact
from omnitrack.correspondence.flow_steps import PLACE_BITS, PLACES_PER_PX, Steps
from omnitrack.correspondence.raster import Array

_PLACES, _ONE = np.float32(PLACES_PER_PX), np.float32(1)


def flow_at(steps: Steps, steps_per_px: float, pixels: Array) -> Array:
    """See `omnitrack.correspondence.flow_steps.flow_at`."""
    found = np.empty((len(pixels), 2), np.float32)
    _read(np.ascontiguousarray(steps), np.float32(1 / steps_per_px), np.ascontiguousarray(pixels, np.float32), found)
    return found


@exact
def _read(steps: Steps, step: np.float32, pixels: Array, found: Array) -> None:
    height, width = steps.shape[:2]
    for p in range(len(pixels)):
        x, y = np.int64(np.rint(pixels[p, 0] * _PLACES)), np.int64(np.rint(pixels[p, 1] * _PLACES))
        right, lower = np.float32(x & (PLACES_PER_PX - 1)) / _PLACES, np.float32(y & (PLACES_PER_PX - 1)) / _PLACES
        x, y = x >> PLACE_BITS, y >> PLACE_BITS
        x0, x1 = min(max(x, 0), width - 1), min(max(x + 1, 0), width - 1)
        y0, y1 = min(max(y, 0), height - 1), min(max(y + 1, 0), height - 1)
        a, b = (_ONE - right) * (_ONE - lower) * step, right * (_ONE - lower) * step
        c, d = (_ONE - right) * lower * step, right * lower * step
        for k in range(2):
            above = np.float32(steps[y0, x0, k]) * a + np.float32(steps[y0, x1, k]) * b
            found[p, k] = above + np.float32(steps[y1, x0, k]) * c + np.float32(steps[y1, x1, k]) * d
