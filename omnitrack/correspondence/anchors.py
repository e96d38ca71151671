"""Points that are known in several frames: at the query, and where a user has placed them manually.

Every anchor of a point predicts its position in all other frames, with less confidence the farther they are. Between
two anchors, the earlier one serves up to some frame and the later one after it. That frame has the lowest cost:

    sum_{t <= switch} u_a(t)  +  sum_{t > switch} u_b(t)  +  |x_a - x_b| / AGREEMENT_PX  at the switch

with u the uncertainty of an anchor about the point, from 0 to 1. Where a chain has slid onto another object, the chain
from the other anchor is close to it only before the slide, however confident either is. The first anchor serves all
frames before it, and the last anchor all frames after it.
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
    """R known positions of P points, at least one per point, ordered by point and then by frame.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        points: (R,) index of the point, 0 to P - 1.
        frames: (R,) index of the frame.
        pixels: (R, 2) float32 position.
    """

    points: Rows
    frames: Rows
    pixels: Array

    @staticmethod
    def of(frame: int, pixels: Array) -> Anchors:
        """The anchors of points (P, 2) that are known in one frame."""
        return Anchors(np.arange(len(pixels)), np.full(len(pixels), frame), np.asarray(pixels, np.float32))

    def __len__(self) -> int:
        """The number of points P."""
        return int(self.points[-1]) + 1 if len(self.points) else 0

    def by_frame(self) -> Iterator[tuple[int, Rows]]:
        """Each frame with anchors, and the rows of its anchors."""
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
    """Choose the anchor that serves each point in each frame.

    Args:
        anchors: R anchors of P points.
        places: (R, T, 2) the position of the point according to each anchor.
        confidence: (R, T) in [0, 1], the confidence of that position.
        size: (width, height) of the frames in pixels.

    Returns:
        (P, T) rows of the anchors.
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
    nearest_to_middle = np.argsort(np.abs(np.arange(len(cost)) - middle), kind="stable")  # among equals
    return first + int(nearest_to_middle[cost[nearest_to_middle].argmin()])
