"""Similarity in appearance of two positions after alignment: patches warped by the map of their surroundings.

The similarity is that of `appearance.py`, but the patches are larger, have the largest weights in the middle, rotate
and stretch with their object, and must also agree in their mean colour.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.appearance import COLOURS, NOISE_LENGTH
from omnitrack.correspondence.blurred_frames import BlurredFrames, sample_offsets
from omnitrack.correspondence.raster import Array, read
from omnitrack.units import raster_scale

SIDE = 7  # samples per side
DEVIATION_PX = 3.5  # of the weights of the samples, at 256 x 256
MOST_OTHER = 24.0  # largest difference of mean colours, 0 to 255, of patches that can match
UNLIKE = -1.0
WEIGHT = 1 << 10  # sum of the weights before rounding to whole numbers

Samples = NDArray[np.uint8]
Weights = NDArray[np.int32]
Sums = NDArray[np.float64]


def weighted_similarity(weights: Weights, first: Samples, second: Samples) -> Array:
    """Similarity (P,), in [-1, 1], of two sets of patches (P, n, 3); `weights`: (n,) of the samples.

    Samples and weights are whole numbers, so the sums of their products are exact in any order.
    """
    total, flat = float(weights.sum()), (len(first), COLOURS * len(weights))
    noise, of_numbers = COLOURS * NOISE_LENGTH * total, np.repeat(weights, COLOURS)
    own, other = (samples.reshape(flat).astype(np.int32) for samples in (first, second))
    sums, other_sums = (_of_colours(weights, samples) for samples in (first, second))

    def product(a: NDArray[np.int32], b: NDArray[np.int32], a_sums: Sums, b_sums: Sums) -> NDArray[np.float64]:
        """Weighted inner products (P,) of patches less their mean colours."""
        means = a_sums[0] * b_sums[0] + a_sums[1] * b_sums[1] + a_sums[2] * b_sums[2]
        return np.asarray(np.einsum("pn,pn->p", a, of_numbers * b) - means / total)

    lengths = product(own, own, sums, sums) + product(other, other, other_sums, other_sums)
    found = (2 * product(own, other, sums, other_sums) + noise) / (lengths + noise)
    return np.where(np.abs(sums - other_sums).max(0) > MOST_OTHER * total, UNLIKE, found).astype(np.float32)


def _of_colours(weights: Weights, samples: Samples) -> Sums:
    """Weighted sums (3, P) of patches (P, n, 3); below 2^24, so float32 is exact."""
    return (weights.astype(np.float32) @ samples.astype(np.float32)).T.astype(np.float64)


Compare = Callable[[Weights, Samples, Samples], Array]


def _agree(one: Compare, another: Compare) -> bool:
    random = np.random.default_rng(0)
    weights = random.integers(0, 40, SIDE**2, np.int32)
    first, second = random.integers(0, 255, (2, 50, SIDE**2, COLOURS), np.uint8, endpoint=True)
    return all(
        np.array_equal(one(weights, first, other), another(weights, first, other))
        for other in (first, second, first // 2 + second // 2)
    )


WEIGHTED_SIMILARITY = CompiledPart[Compare](
    weighted_similarity, "omnitrack.correspondence.compiled.patches", "weighted_similarity", _agree
)


class WarpedPatches:
    """Patches of a clip's frames, warped by maps.

    Args:
        frames: The frames.
    """

    def __init__(self, frames: BlurredFrames) -> None:
        self._frames = frames
        self._offsets = sample_offsets(SIDE, frames.size)
        weights = np.exp(-(self._offsets**2).sum(0) / (2 * (DEVIATION_PX * raster_scale(frames.size)) ** 2))
        self._weights = np.rint(WEIGHT * weights / weights.sum()).astype(np.int32)

    def patches(self, frame: int, pixels: Array, maps: Array | None = None) -> Samples:
        """Patches (P, n, 3) around pixels (P, 2) of a frame, warped by maps (P, 2, 2) if given."""
        across, down = self._offsets
        if maps is None:
            x, y = pixels[:, :1] + across, pixels[:, 1:] + down
        else:
            x, y = (
                pixels[:, axis, None] + (maps[:, axis, 0, None] * across + maps[:, axis, 1, None] * down)
                for axis in (0, 1)
            )
        return np.asarray(read(self._frames[frame], x, y))

    def compare(self, first: Samples, second: Samples) -> Array:
        """Similarity (P,), in [-1, 1], of two sets of patches (P, n, 3)."""
        return WEIGHTED_SIMILARITY.fastest(self._weights, first, second)

    def contrast(self, patches: Samples) -> Array:
        """Standard deviation (P,) of patches (P, n, 3) about their mean colours, in levels of 0 to 255."""
        values = patches.astype(np.float32)
        return np.sqrt(((values - values.mean(1, keepdims=True)) ** 2).mean((1, 2)))
