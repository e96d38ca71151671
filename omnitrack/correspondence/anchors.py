"""Points that are known in several frames: where the query is, and where somebody put the point by hand.

Every anchor of a point says where it is in all other frames, and less surely with every frame. Between two anchors the
earlier one serves up to some frame and the later one from there on. The frame is the one at which that costs least:

    sum_{t <= switch} u_a(t)  +  sum_{t > switch} u_b(t)  +  |x_a - x_b| / AGREEMENT_PX  at the switch

with u how unsure an anchor is of the point, from 0 to 1. Where a chain slid onto something else, the way from the other
side comes close to it only before it did, however sure of itself it is. Before the first anchor and after the last one,
these serve.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.agreement import AGREEMENT_PX
from omnitrack.correspondence.raster import Array, lengths
from omnitrack.units import raster_scale

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Anchors:
    """R known places of P points, at least one of each, by point and then by frame.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        points: (R,) which point it is, 0 to P - 1.
        frames: (R,) in which frame.
        pixels: (R, 2) float32 where.
    """

    points: Rows
    frames: Rows
    pixels: Array

    @staticmethod
    def of(frame: int, pixels: Array) -> Anchors:
        """Points (P, 2) that are known in one frame."""
        return Anchors(np.arange(len(pixels)), np.full(len(pixels), frame), np.asarray(pixels, np.float32))

    def __len__(self) -> int:
        """P."""
        return int(self.points[-1]) + 1 if len(self.points) else 0

    def by_frame(self) -> Iterator[tuple[int, Rows]]:
        """Each frame with anchors, and their rows."""
        for frame in np.unique(self.frames).tolist():
            yield frame, np.flatnonzero(self.frames == frame)

    def last_frames(self) -> Rows:
        """(P,) the last frame in which each point is known."""
        return self.frames[np.append(np.flatnonzero(np.diff(self.points)), len(self.points) - 1)]

    def mask(self, num_frames: int) -> NDArray[np.bool_]:
        """(P, T) bool: where there is an anchor."""
        known = np.zeros((len(self), num_frames), bool)
        known[self.points, self.frames] = True
        return known


def serving_anchors(anchors: Anchors, places: Array, confidence: Array, size: tuple[int, int]) -> Rows:
    """Which anchor to go by for each point in each frame.

    Args:
        anchors: R anchors of P points.
        places: (R, T, 2) where each anchor says that its point is.
        confidence: (R, T) in [0, 1], how sure it is of that.
        size: (width, height) of the frames in pixels.

    Returns:
        (P, T) rows of anchors.
    """
    num_frames = places.shape[1]
    serving = np.repeat(np.unique(anchors.points, return_index=True)[1][:, None], num_frames, axis=1)
    frames = np.arange(num_frames)
    for later in (np.flatnonzero(np.diff(anchors.points) == 0) + 1).tolist():
        switch = _last_of_earlier(anchors.frames, places, 1 - confidence.astype(np.float64), later, raster_scale(size))
        serving[anchors.points[later], frames > switch] = later
    return serving


def _last_of_earlier(frames: Rows, places: Array, unsure: NDArray[np.float64], later: int, scale: float) -> int:
    """The last frame in which the anchor before `later` serves."""
    first, last = int(frames[later - 1]), int(frames[later])
    apart = lengths(places[later - 1, first : last + 1] - places[later, first : last + 1])
    jump = (apart[1:] + apart[:-1]) / (2 * AGREEMENT_PX * scale)
    earlier = np.cumsum(unsure[later - 1, first:last])
    afterwards = np.cumsum(unsure[later, last:first:-1])[::-1]
    cost = earlier + afterwards + jump
    middle = (len(cost) - 1) / 2
    nearest_to_middle = np.argsort(np.abs(np.arange(len(cost)) - middle), kind="stable")  # of equals
    return first + int(nearest_to_middle[cost[nearest_to_middle].argmin()])
