"""The company of a point: grid places of its frame that moved with it, and so probably belong to the same object.

Frames near the source count more than distant ones: two objects part at once, whereas a track that is carried off by an
occluder parts later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    index = around(points.pixels[:, source], size, count)
    scale, frames = raster_scale(size), points.visible.shape[1]
    start, of_grid = points.pixels[:, source], grid.pixels[:, source]

    def apart(places: Array, own: Array) -> Array:
        """Distances (P, count) of the grid's vectors (G, 2) from those of the points (P, 2), at 256 x 256."""
        x, y = (_at(places[:, axis], index) - own[:, axis, None] for axis in (0, 1))
        return np.asarray(np.sqrt(x**2 + y**2) / scale)

    distance = apart(of_grid, start)
    shown, together = np.zeros(index.shape, np.float32), np.zeros(index.shape, np.float32)
    for t in range(max(0, source - COMPARED_FRAMES), min(frames, source + COMPARED_FRAMES + 1)):
        if t != source:
            weight = np.float32(1 / abs(t - source))
            difference = apart(grid.pixels[:, t] - of_grid, points.pixels[:, t] - start)
            both = _at(grid.visible[:, t], index) & points.visible[:, t, None]
            shown += weight * both
            together += weight * (both & (difference < STILL_PX + PER_PX * abs(t - source) * distance))
    return np.where((index != NONE) & (shown > 0) & (together >= LEAST_SHARE * shown), index, NONE)


def _at(values: NDArray[Any], index: Indices) -> NDArray[Any]:
    """As values[index], for values (G,), in a third of the time."""
    return np.take(np.ascontiguousarray(values), index)
