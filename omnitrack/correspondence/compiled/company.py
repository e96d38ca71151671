"""The comparison of motions in `company.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.company import LEAST_SHARE, NONE, PER_PX, STILL_PX, Indices, Motions

Numbers = NDArray[Any]
_LEAST = np.float32(LEAST_SHARE)


def moved_together(
    index: Indices, points: Motions, grid: Motions, gaps: NDArray[np.int64], scale: np.float32
) -> NDArray[np.bool_]:
    """See `omnitrack.correspondence.company.moved_together`."""
    moved, still = np.zeros(index.shape, bool), np.float32(STILL_PX) * scale
    weights, per_px = (1 / gaps).astype(np.float32), (PER_PX * gaps).astype(np.float32)
    of_points = points.start, points.motion, points.visible
    _compare(index, *of_points, grid.start, grid.motion, grid.visible, weights, per_px, still, moved)
    return moved


@exact
def _compare(
    index: Indices,
    starts: Numbers,
    motions: Numbers,
    visible: Numbers,
    grid_starts: Numbers,
    grid_motions: Numbers,
    grid_visible: Numbers,
    weights: Numbers,
    per_px: Numbers,
    still: np.float32,
    moved: Numbers,
) -> None:
    frames = len(weights)
    for point in range(len(index)):
        start, motion, seen = starts[point], motions[point], visible[point]
        for k in range(index.shape[1]):
            place = index[point, k]
            if place == NONE:
                continue
            x, y = grid_starts[place, 0] - start[0], grid_starts[place, 1] - start[1]
            distance, shown, together = np.sqrt(x * x + y * y), np.float32(0), np.float32(0)
            for nth in range(frames):
                x, y = grid_motions[place, nth, 0] - motion[nth, 0], grid_motions[place, nth, 1] - motion[nth, 1]
                tolerance = still + per_px[nth] * distance
                both = weights[nth] if seen[nth] and grid_visible[place, nth] else np.float32(0)
                shown += both
                together += both if x * x + y * y < tolerance * tolerance else np.float32(0)
            moved[point, k] = shown > 0 and together >= _LEAST * shown
