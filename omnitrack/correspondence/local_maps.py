"""Motion of the surroundings of a point: the affine map that most of the places around it agree with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omnitrack.correspondence.raster import Array, lengths
from omnitrack.units import raster_scale

# All lengths at 256 x 256.
UNIT_PX = 10.0  # unit of the offsets, so that both parts of the equations have similar magnitudes
PRIOR_WEIGHT = 0.3  # of the prior map, in places at `UNIT_PX`: decides where there are too few places
FIRST_TOLERANCE_PX, LAST_TOLERANCE_PX = 4.0, 1.0  # disagreement that halves a place's weight: shrinks per round


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
    def sane(self) -> np.ndarray:
        """(P,) bool: the map neither flips the surroundings, nor shrinks or enlarges them implausibly."""
        area = np.linalg.det(self.maps)
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
    scale = np.float32(raster_scale(size))
    ones = np.ones((*offsets.shape[:2], 1), np.float32)
    columns = np.concatenate([offsets / (UNIT_PX * scale), ones], -1).astype(np.float32)
    total = np.maximum(weights.sum(1), 1e-6)[:, None]
    centre = (places * weights[..., None]).sum(1) / total
    wanted = ((places - centre[:, None]) / scale).astype(np.float32)
    prior_columns = PRIOR_WEIGHT * UNIT_PX * np.swapaxes(prior, 1, 2)
    damping = np.diag([PRIOR_WEIGHT, PRIOR_WEIGHT, 1e-4])
    weight = weights
    for nth in range(rounds):
        weighted = np.swapaxes(columns * weight[..., None], 1, 2)
        right = (weighted @ wanted).astype(np.float64)
        right[:, :2] += prior_columns
        solved = np.linalg.solve((weighted @ columns).astype(np.float64) + damping, right).astype(np.float32)
        residual = lengths(wanted - columns @ solved)
        tolerance = max(LAST_TOLERANCE_PX, FIRST_TOLERANCE_PX / 2**nth)
        weight = weights / (1 + (residual / tolerance) ** 2)
    maps = np.swapaxes(solved[:, :2], 1, 2) / np.float32(UNIT_PX)
    return LocalMaps(np.ascontiguousarray(maps), centre + solved[:, 2] * scale, residual)
