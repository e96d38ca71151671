"""The fit of `local_maps.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact, summing
from omnitrack.correspondence.local_maps import PRIOR_SQUARED, SHIFT_STEPS, STEPS, WEIGHT_STEPS, Numbers, solve
from omnitrack.correspondence.raster import Array

Sums = tuple[float, float, float, float]
_solve: Any = exact(solve)


def fit(
    offsets: Array, places: Array, weights: Array, prior: Array, to_steps: float, tolerances: Numbers
) -> tuple[Array, Array, Array]:
    """See `omnitrack.correspondence.local_maps.fit`."""
    points, count = weights.shape
    maps, shifted = np.empty((points, 2, 2), np.float32), np.empty((points, 2), np.float32)
    residual = np.empty((points, count), np.float32)
    offset, place, weight, before = (np.ascontiguousarray(each) for each in (offsets, places, weights, prior))
    _fit(offset, place, weight, before, float(to_steps), tolerances, maps, shifted, residual)
    return maps, shifted, residual


@summing
def _sums(first: Numbers, second: Numbers, value: Numbers, weight: Numbers) -> Sums:
    """Sums of value x (first, second, 1) x weight, and of the weights; exact in any order."""
    by_first, by_second, alone, all_weights = 0.0, 0.0, 0.0, 0.0
    for k in range(len(weight)):
        weighted = value[k] * weight[k]
        by_first += first[k] * weighted
        by_second += second[k] * weighted
        alone += weighted
        all_weights += weight[k]
    return by_first, by_second, alone, all_weights


@exact
def _fit(
    offsets: NDArray[Any],
    places: NDArray[Any],
    weights: NDArray[Any],
    prior: NDArray[Any],
    to_steps: float,
    tolerances: Numbers,
    maps: NDArray[Any],
    shifted: NDArray[Any],
    residual: NDArray[Any],
) -> None:
    points, count = weights.shape
    given, weight, squared = np.empty(count), np.empty(count), np.empty(count)
    x, y, to_x, to_y = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    for p in range(points):
        for k in range(count):
            x[k], y[k] = np.rint(to_steps * offsets[p, k, 0]), np.rint(to_steps * offsets[p, k, 1])
            to_x[k], to_y[k] = np.rint(to_steps * places[p, k, 0]), np.rint(to_steps * places[p, k, 1])
            given[k] = np.rint(WEIGHT_STEPS * np.float64(weights[p, k]))
            weight[k] = given[k]
        _, _, all_x, total = _sums(x, y, to_x, given)
        _, _, all_y, _ = _sums(x, y, to_y, given)
        centre_x, centre_y = np.rint(all_x / max(total, 1.0)), np.rint(all_y / max(total, 1.0))
        for k in range(count):
            to_x[k], to_y[k] = to_x[k] - centre_x, to_y[k] - centre_y
        for tolerance in tolerances:
            xx, xy, x_alone, one = _sums(x, y, x, weight)
            _, yy, y_alone, _ = _sums(x, y, y, weight)
            x_to_x, y_to_x, only_to_x, _ = _sums(x, y, to_x, weight)
            x_to_y, y_to_y, only_to_y, _ = _sums(x, y, to_y, weight)
            xx, yy, one = xx + PRIOR_SQUARED, yy + PRIOR_SQUARED, one + SHIFT_STEPS
            x_to_x += PRIOR_SQUARED * np.float64(prior[p, 0, 0])
            y_to_x += PRIOR_SQUARED * np.float64(prior[p, 0, 1])
            x_to_y += PRIOR_SQUARED * np.float64(prior[p, 1, 0])
            y_to_y += PRIOR_SQUARED * np.float64(prior[p, 1, 1])
            ax, bx, cx = _solve(xx, xy, x_alone, yy, y_alone, one, x_to_x, y_to_x, only_to_x)
            ay, by, cy = _solve(xx, xy, x_alone, yy, y_alone, one, x_to_y, y_to_y, only_to_y)
            for k in range(count):
                off_x, off_y = to_x[k] - (x[k] * ax + y[k] * bx + cx), to_y[k] - (x[k] * ay + y[k] * by + cy)
                squared[k] = off_x * off_x + off_y * off_y
                weight[k] = np.rint(given[k] / (1 + squared[k] / (tolerance * tolerance)))
        maps[p, 0, 0], maps[p, 0, 1], maps[p, 1, 0], maps[p, 1, 1] = ax, bx, ay, by
        shifted[p, 0], shifted[p, 1] = (centre_x + cx) / to_steps, (centre_y + cy) / to_steps
        for k in range(count):
            residual[p, k] = np.sqrt(squared[k]) / STEPS
