"""The company of a point: grid places of its frame that moved with it, and so probably belong to the same object.

Frames near the source count more than distant ones: two objects part at once, whereas a track that is carried off by an
occluder parts later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.raster import Array, CoarseGrid
from omnitrack.units import raster_scale

REACH = 9  # steps of the grid to either side in which company is searched for: 54 px at 256 x 256
NEAR = 25  # nearest places, which give how the surroundings of a visible point have turned
WIDE = (2 * REACH + 1) ** 2  # all places within reach
COMPARED_FRAMES = 6  # before and after the source, in which motions are compared
STILL_PX = 1.0  # largest difference of motion, at 256 x 256, of points that move together ...
PER_PX = 0.05  # ... plus this per frame and px between the points: an object may turn by 0.05 radians per frame
LEAST_SHARE = 0.8  # of the frames in which both are visible, each weighted by 1 / its distance from the source
NONE = -1

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Seen:
    """Positions of P points in T frames, and whether they are visible.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, T, 2).
        visible: (P, T) bool.
    """

    pixels: Array
    visible: NDArray[np.bool_]


def around(pixels: Array, size: tuple[int, int], count: int) -> Indices:
    """The grid places (P, count) (`CoarseGrid`) around pixels (P, 2), nearest first; `NONE` beyond the frame.

    A place exactly at the point is left out: the point would support itself.
    """
    grid = CoarseGrid.of(size)
    rows, columns = grid.shape
    steps = np.arange(-REACH, REACH + 1)
    offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)
    offsets = offsets[np.argsort((offsets**2).sum(1), kind="stable")][:count]
    at = np.rint((pixels - grid.pixels[0]) / grid.stride).astype(int)
    x, y = (at[:, axis, None] + offsets[:, axis] for axis in (0, 1))
    there = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    index = np.where(there, y.clip(0, rows - 1) * columns + x.clip(0, columns - 1), NONE)
    itself = (grid.pixels[index] == pixels[:, None]).all(-1)
    return np.where(itself, NONE, index)


def company(source: int, points: Seen, grid: Seen, count: int, size: tuple[int, int]) -> Indices:
    """The grid places (P, count) that moved with each point, out of the `count` nearest; `NONE` for the others.

    Args:
        source: Frame of the points and of the grid.
        points: Tracks of the P points.
        grid: Tracks of all grid places of the frame.
        count: Number of places to compare per point.
        size: (width, height) of the frames in pixels.
    """
    num_frames = points.visible.shape[1]
    frames = np.arange(max(0, source - COMPARED_FRAMES), min(num_frames, source + COMPARED_FRAMES + 1))
    frames = frames[frames != source]
    index = around(points.pixels[:, source], size, count)
    own, of_grid = (Motions.of(seen, source, frames) for seen in (points, grid))
    moved = MOVED_TOGETHER.fastest(index, own, of_grid, np.abs(frames - source), np.float32(raster_scale(size)))
    return np.where(moved, index, NONE)


@dataclass(frozen=True)
class Motions:
    """Motions of P points from a source frame to F other frames, in contiguous arrays.

    Attributes:
        start: (P, 2) pixels in the source frame.
        motion: (P, F, 2) pixels.
        visible: (P, F) in the other frames.
    """

    start: Array
    motion: Array
    visible: NDArray[np.bool_]

    @staticmethod
    def of(seen: Seen, source: int, frames: NDArray[np.int64]) -> Motions:
        """The motions of tracks from frame `source` to `frames` (F,)."""
        start = seen.pixels[:, source]
        motion, visible = seen.pixels[:, frames] - start[:, None], seen.visible[:, frames]
        return Motions(np.ascontiguousarray(start), np.ascontiguousarray(motion), np.ascontiguousarray(visible))


def moved_together(
    index: Indices, points: Motions, grid: Motions, gaps: NDArray[np.int64], scale: np.float32
) -> NDArray[np.bool_]:
    """Whether each of the grid places (P, K), or `NONE`, moved with its point.

    Args:
        index: (P, K) places to compare.
        points: Motions of the P points.
        grid: Motions of all grid places.
        gaps: (F,) frames between the source and each of the other frames.
        scale: Pixels per px at 256 x 256.
    """

    def apart(places: Array, own: Array) -> Array:
        """Squared distances (P, K) of the grid's vectors (G, 2) from those of the points (P, 2)."""
        x, y = (_at(places[:, axis], index) - own[:, axis, None] for axis in (0, 1))
        return np.asarray(x * x + y * y)

    distance = np.sqrt(apart(grid.start, points.start))
    shown, together = np.zeros(index.shape, np.float32), np.zeros(index.shape, np.float32)
    for nth, gap in enumerate(gaps.tolist()):
        weight = np.float32(1 / gap)
        difference = apart(grid.motion[:, nth], points.motion[:, nth])
        both = _at(grid.visible[:, nth], index) & points.visible[:, nth, None]
        tolerance = np.float32(STILL_PX) * scale + np.float32(PER_PX * gap) * distance
        shown += weight * both
        together += weight * (both & (difference < tolerance * tolerance))
    return np.asarray((index != NONE) & (shown > 0) & (together >= np.float32(LEAST_SHARE) * shown))


def _at(values: NDArray[Any], index: Indices) -> NDArray[Any]:
    """As values[index], for values (G,), in a third of the time."""
    return np.take(np.ascontiguousarray(values), index)


Together = Callable[[Indices, Motions, Motions, NDArray[np.int64], np.float32], NDArray[np.bool_]]


def _agree(first: Together, second: Together) -> bool:
    random = np.random.default_rng(0)
    points, grid = (
        Motions(
            random.uniform(0, 60, (count, 2)).astype(np.float32),
            random.normal(0, 1, (count, 5, 2)).astype(np.float32),
            random.uniform(0, 1, (count, 5)) < 0.7,
        )
        for count in (20, 40)
    )
    index = random.integers(NONE, 40, (20, 30))
    ours, theirs = (one(index, points, grid, np.array([2, 1, 1, 2, 3]), np.float32(1.7)) for one in (first, second))
    return np.array_equal(ours, theirs)


MOVED_TOGETHER = CompiledPart[Together](
    moved_together, "omnitrack.correspondence.compiled.company", "moved_together", _agree
)
