"""Similarity in appearance of two positions, without learned weights: patches compared after subtracting their means.

    s = 1 - sum (a - b)^2 / (sum a^2 + sum b^2 + n)
      = (2 sum a b + n) / (sum a^2 + sum b^2 + n),    a, b: patches less their means, n: noise floor

s is 1 for equal patches, near 0 for unrelated ones, and stays near 1 for two patches without texture, about which
nothing can be said. Unlike a plain correlation, it also detects a change of contrast.

A mean is that of a colour, or, where tint counts, that of all three: then patches that differ in colour are dissimilar,
whatever their brightness. That detects smoke and other occluders that show little texture. Among hops, patches less
their mean colours separate right from wrong better (tests/benchmarks/HISTORY.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.blurred_frames import BlurredFrames, sample_offsets
from omnitrack.correspondence.raster import Array, read

PATCH_SIDE = 5  # samples per side
NOISE = 2.0  # standard deviation of blurred colours of the same point, 0 to 255
NOISE_LENGTH = 2 * NOISE**2  # n, per number of a patch
COLOURS = 3


@dataclass(frozen=True)
class Patches:
    """Patches around P positions of a frame.

    Attributes:
        samples: (P, n) uint8, the channels of each sample side by side.
        sums: (P, 3) float64, sum of the samples per channel.
        squares: (P,) float64, sum of the squared samples.
    """

    samples: NDArray[np.uint8]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]

    @staticmethod
    def of(samples: NDArray[np.uint8]) -> Patches:
        """The patches with samples (P, n)."""
        return Patches(samples, *_sums_and_squares(samples.astype(np.float32)))

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Patches:
        """The patches in some of the rows."""
        if isinstance(rows, slice):
            return Patches(self.samples[rows], self.sums[rows], self.squares[rows])
        take = partial(np.take, indices=rows, axis=0)  # several times faster than indexing
        return Patches(take(self.samples), take(self.sums), take(self.squares))

    @property
    def lengths(self) -> NDArray[np.float64]:
        """Squared lengths (P,) of the patches less their mean colours."""
        return self.squares - _of_means(self.sums, self.sums)

    def contrast(self) -> Array:
        """Standard deviation (P,) of each patch about its mean colour, in levels of 0 to 255."""
        return np.sqrt(self.lengths / self.samples.shape[1]).astype(np.float32)

    def texture(self) -> Array:
        """Variation (P,) of each patch along the direction in which it varies least, in levels of 0 to 255.

        The root of the smaller eigenvalue of the mean structure tensor: near `NOISE` on a blank wall and along an edge,
        where nothing distinguishes one position from the next.
        """
        grid = self.samples.astype(np.float32).reshape(-1, PATCH_SIDE, PATCH_SIDE, COLOURS)
        across, down = np.diff(grid, axis=2)[:, :-1], np.diff(grid, axis=1)[:, :, :-1]
        xx, xy, yy = ((a * b).mean((1, 2, 3)) for a, b in ((across, across), (across, down), (down, down)))
        least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
        return np.asarray(np.sqrt(np.maximum(least, 0)), np.float32)


def similarity(patches: Patches, samples: NDArray[np.uint8], tint: bool = False) -> Array:
    """Similarity (P,), in [-1, 1], of patches to other patches, given by their samples (P, n).

    Samples are whole numbers, so their sums and the sums of their products are exact in any order.

    Args:
        patches: P patches.
        samples: Of the P other patches.
        tint: Whether a difference in mean colour counts, except in brightness.
    """
    values, noise = samples.astype(np.float32), NOISE_LENGTH * samples.shape[1]
    sums, squares = _sums_and_squares(values)
    both = _products(patches.samples.astype(np.float32), values) - _of_means(patches.sums, sums, tint)
    own, other = patches.squares - _of_means(patches.sums, patches.sums, tint), squares - _of_means(sums, sums, tint)
    return np.minimum((2 * both + noise) / (own + other + noise), 1).astype(np.float32)


def _sums_and_squares(samples: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    colours = samples.reshape(len(samples), PATCH_SIDE**2, COLOURS)
    return np.einsum("psc->pc", colours).astype(np.float64), _products(samples, samples).astype(np.float64)


def _products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Inner products of vectors (P, n): (P,)."""
    return np.asarray(np.einsum("pn,pn->p", a, b))  # numpy's sums of short rows are slow


def _of_means(a: NDArray[np.float64], b: NDArray[np.float64], tint: bool = False) -> NDArray[np.float64]:
    """Inner products (P,) of the means that are subtracted from patches with sums (P, 3): see above."""
    if tint:
        return np.asarray(a.sum(1) * b.sum(1) / (COLOURS * PATCH_SIDE**2))
    return np.asarray((a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]) / PATCH_SIDE**2)


Compare = Callable[[Patches, NDArray[np.uint8], bool], Array]


def _agree(first: Compare, second: Compare) -> bool:
    shape = 2, 50, COLOURS * PATCH_SIDE**2
    samples = np.random.default_rng(0).integers(0, 255, shape, np.uint8, endpoint=True)
    patches = Patches.of(samples[0])
    return all(
        np.array_equal(first(patches, other, tint), second(patches, other, tint))
        for other in samples
        for tint in (False, True)
    )


SIMILARITY = CompiledPart[Compare](similarity, "omnitrack.correspondence.compiled.patches", "similarity", _agree)


class FramePatches:
    """Patches of a clip's frames.

    Args:
        frames: The frames.
    """

    def __init__(self, frames: BlurredFrames) -> None:
        self._frames = frames
        self._offsets = sample_offsets(PATCH_SIDE, frames.size)

    def samples(self, frame: int, pixels: Array) -> NDArray[np.uint8]:
        """Samples (P, n) of patches around pixels (P, 2) of a frame; n is the number of samples times 3."""
        x, y = (pixels[:, axis, None] + self._offsets[axis] for axis in (0, 1))
        return read(self._frames[frame], x, y).reshape(len(pixels), COLOURS * PATCH_SIDE**2)

    def patches(self, frame: int, pixels: Array) -> Patches:
        """Patches around pixels (P, 2) of a frame."""
        return Patches.of(self.samples(frame, pixels))

    def similarity(self, patches: Patches, frame: int, pixels: Array, tint: bool = False) -> Array:
        """Similarity (P,), in [-1, 1], of patches to those around pixels (P, 2) of a frame; see `similarity`."""
        return SIMILARITY.fastest(patches, self.samples(frame, pixels), tint)
