"""Places of a clip that are seen in two neighbouring frames, found by its flow: what descriptors are compared on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.descriptors.principal_axes import learned_frames
from omnitrack.correspondence.raster import Array, inside, lengths, pixel_grid, sample
from omnitrack.units import raster_scale

Flow = Callable[[int, int], Array]

SPACING_PX = 4.0  # between places, at 256 x 256
CONSISTENT_PX = 1.0  # at 256 x 256: largest cycle error of a place that counts as seen in both frames


@dataclass(frozen=True)
class TwoViews:
    """Places of a frame, and where they are in the next frame.

    Attributes:
        frame: Index of the frame.
        places: (N, 2) pixels of the frame, on a grid.
        seen: (N,) bool, whether a place is seen in the next frame, too.
        landed: (M, 2) where the M places seen are in the next frame, in pixels.
    """

    frame: int
    places: Array
    seen: NDArray[np.bool_]
    landed: Array


def two_views(flow: Flow, num_frames: int, size: tuple[int, int]) -> list[TwoViews]:
    """Find places seen in two neighbouring frames, in a few pairs (`learned_frames`).

    Args:
        flow: Returns the flow (H, W, 2) from one frame to another, in pixels; flow that is not finite leads nowhere.
        num_frames: T.
        size: (width, height) of the frames in pixels.
    """
    scale = raster_scale(size)
    places = pixel_grid(size, max(1, round(SPACING_PX * scale)))
    found = []
    for t in learned_frames(num_frames - 1):
        landed = places + sample(flow(t, t + 1), places)
        away = lengths(landed + sample(flow(t + 1, t), landed) - places)
        seen = (away < CONSISTENT_PX * scale) & inside(landed, size)
        found.append(TwoViews(t, places, seen, landed[seen]))
    return found
