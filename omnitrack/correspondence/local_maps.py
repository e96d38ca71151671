"""Motion of the surroundings of a point: the affine map that most of the places around it agree with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.raster import Array
from omnitrack.units import raster_scale

# Positions and weights are rounded to whole numbers of steps, so that sums of their products are exact in any order.
STEPS, WEIGHT_STEPS = 1 << 8, 1 << 14  # per px at 256 x 256, and per unit of weight
# All lengths at 256 x 256.
PRIOR_WEIGHT, PRIOR_PX = 0.3, 10.0  # the prior map counts as this many places at this distance
SHIFT_WEIGHT = 1e-4  # of no shift from the mean of the places: only decides where there is none
FIRST_TOLERANCE_PX, LAST_TOLERANCE_PX = 4.0, 1.0  # disagreement that halves a place's weight: shrinks per round

PRIOR_SQUARED = PRIOR_WEIGHT * WEIGHT_STEPS * (PRIOR_PX * STEPS) ** 2
SHIFT_STEPS = SHIFT_WEIGHT * WEIGHT_STEPS

Numbers = NDArray[np.float64]
Number = TypeVar("Number", float, Numbers)


@dataclass(frozen=True)
class LocalMaps:
    """Affine maps of the surroundings of P points.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        maps: (P, 2, 2) from an offset in one frame to the offset in the other.
        places: (P, 2) predicted pixels of the points in the other frame.
        residual: (P, K) distance of each place from where the map takes it, at 256 x 256.
    """

    maps: Array
    places: Array
    residual: Array

    @property
    def sane(self) -> NDArray[np.bool_]:
        """(P,) the map neither flips the surroundings, nor shrinks or enlarges them implausibly."""
        area = self.maps[:, 0, 0] * self.maps[:, 1, 1] - self.maps[:, 0, 1] * self.maps[:, 1, 0]
        return np.asarray((area > 0.3) & (area < 3))


def fit_local_maps(
    offsets: Array, places: Array, weights: Array, prior: Array, size: tuple[int, int], rounds: int = 4
) -> LocalMaps:
    """Fit affine maps by least squares, reweighted so that outliers count little.

    Args:
        offsets: (P, K, 2) pixels of the places around each point in one frame, less those of the point.
        places: (P, K, 2) pixels of the same places in the other frame.
        weights: (P, K) of the places; 0 for missing places.
        prior: (P, 2, 2) maps that are used where places are missing.
        size: (width, height) of the frames in pixels.
        rounds: Number of rounds of reweighting.
    """
    tolerances = np.maximum(LAST_TOLERANCE_PX, FIRST_TOLERANCE_PX / 2.0 ** np.arange(rounds))
    return LocalMaps(*FITTING.fastest(offsets, places, weights, prior, STEPS / raster_scale(size), STEPS * tolerances))


def fit(
    offsets: Array, places: Array, weights: Array, prior: Array, to_steps: float, tolerances: Numbers
) -> tuple[Array, Array, Array]:
    """The maps, predicted places and residuals of `LocalMaps`.

    Args:
        offsets: See `fit_local_maps`, as for the next three.
        places: Pixels.
        weights: Of the places.
        prior: Maps.
        to_steps: Steps per pixel.
        tolerances: Of each round, in steps.
    """
    offset, place = (np.rint(to_steps * values.astype(np.float64)) for values in (offsets, places))
    given = np.rint(WEIGHT_STEPS * weights.astype(np.float64))
    weight = given
    centre = np.rint((place * weight[..., None]).sum(1) / np.maximum(weight.sum(1), 1)[:, None])
    wanted = place - centre[:, None]
    columns = np.concatenate([offset, np.ones_like(offset[..., :1])], -1)
    values = np.concatenate([columns, wanted], -1)
    for tolerance in tolerances:
        sums = np.moveaxis(np.swapaxes(columns * weight[..., None], 1, 2) @ values, 0, -1)  # (3, 5, P)
        (xx, xy, x, *_), (_, yy, y, *_), (*_, one, _, _) = sums
        matrix = xx + PRIOR_SQUARED, xy, x, yy + PRIOR_SQUARED, y, one + SHIFT_STEPS
        rights = sums[:, 3:]
        rights[:2] += PRIOR_SQUARED * prior.T.astype(np.float64)
        solved = [solve(*matrix, *rights[:, axis]) for axis in (0, 1)]
        off_x, off_y = (
            wanted[..., axis] - (offset[..., 0] * a[:, None] + offset[..., 1] * b[:, None] + c[:, None])
            for axis, (a, b, c) in enumerate(solved)
        )
        squared = off_x * off_x + off_y * off_y
        weight = np.rint(given / (1 + squared / (tolerance * tolerance)))
    maps = np.stack([np.stack([a, b], -1) for a, b, _ in solved], 1)
    shifted = (centre + np.stack([c for *_, c in solved], -1)) / to_steps
    return maps.astype(np.float32), shifted.astype(np.float32), (np.sqrt(squared) / STEPS).astype(np.float32)


def solve(
    xx: Number,
    xy: Number,
    x: Number,
    yy: Number,
    y: Number,
    one: Number,
    right_x: Number,
    right_y: Number,
    right: Number,
) -> tuple[Number, Number, Number]:
    """Solve [[xx, xy, x], [xy, yy, y], [x, y, one]] (a, b, c) = (right_x, right_y, right) by its LDL^T factors."""
    b_of_a, c_of_a = xy / xx, x / xx
    pivot, rest = yy - b_of_a * xy, y - b_of_a * x
    c_of_b = rest / pivot
    then = right_y - b_of_a * right_x
    c = (right - c_of_a * right_x - c_of_b * then) / (one - c_of_a * x - c_of_b * rest)
    b = then / pivot - c_of_b * c
    return right_x / xx - b_of_a * b - c_of_a * c, b, c


Fit = Callable[[Array, Array, Array, Array, float, Numbers], tuple[Array, Array, Array]]


def _agree(first: Fit, second: Fit) -> bool:
    random = np.random.default_rng(0)
    offsets = random.uniform(-50, 50, (6, 25, 2)).astype(np.float32)
    places = (offsets + 100 + random.normal(0, 2, offsets.shape)).astype(np.float32)
    weights = (random.uniform(0, 1, (6, 25)) < np.linspace(0, 1, 6)[:, None]).astype(np.float32)  # none, ..., all
    prior = random.normal(0, 1, (6, 2, 2)).astype(np.float32)
    results = (one(offsets, places, weights, prior, STEPS / 1.7, np.array([400.0, 200.0])) for one in (first, second))
    return all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


FITTING = CompiledPart[Fit](fit, "omnitrack.correspondence.compiled.local_maps", "fit", _agree)
