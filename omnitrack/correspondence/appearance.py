"""Whether two places look alike, without learned weights: patches compared after removing their mean colour.

    s = 1 - sum (a - b)^2 / (sum a^2 + sum b^2 + n)
      = (2 sum a b + n) / (sum a^2 + sum b^2 + n),    a, b: patches less their means, n: noise floor

s is 1 for equal patches, near 0 for unrelated ones, and stays near 1 for two patches without texture, of which nothing
can be said. Unlike a plain correlation it also tells a contrast that has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import compiled_or
from omnitrack.correspondence.raster import Array, read
from omnitrack.units import raster_scale

PATCH_SIDE = 5  # samples per side
SPACING_PX = 1.5  # between samples, at 256 x 256
CACHE_BYTES = 384 * 2**20  # 320 frames of 480p: a chain's window and what the threads are at
NOISE = 2.0  # standard deviation of blurred colours that are the same, 0 to 255


class PatchSimilarity:
    """Compares patches of frames.

    Args:
        size: (width, height) of the frames in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        spacing = SPACING_PX * raster_scale(size)
        steps = (np.arange(PATCH_SIDE) - PATCH_SIDE // 2) * spacing
        self._offsets = np.stack(np.meshgrid(steps, steps)).reshape(2, -1).astype(np.float32)
        self._blur = spacing / 2

    def prepare(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A frame (H, W, 3) as `patches` wants it: blurred to the spacing of the samples."""
        return np.asarray(cv2.GaussianBlur(frame, (0, 0), max(self._blur, 0.3)), np.uint8)

    def patches(self, prepared: NDArray[np.uint8], pixels: Array) -> Array:
        """Patches around pixels (P, 2), less their mean colours: (P, n), n the samples times 3."""
        samples = self.samples(prepared, pixels).astype(np.float32)
        return samples - np.tile(_sums(samples) / PATCH_SIDE**2, PATCH_SIDE**2).astype(np.float32)

    def texture(self, patches: Array) -> Array:
        """How much patches (P, n) vary along the direction in which they vary least: (P,), in levels of 0 to 255.

        The root of the smaller eigenvalue of their mean structure tensor: near `NOISE` on a blank wall, and along an
        edge, where nothing tells places from one another.
        """
        grid = patches.reshape(len(patches), PATCH_SIDE, PATCH_SIDE, 3)
        across, down = np.diff(grid, axis=2)[:, :-1], np.diff(grid, axis=1)[:, :, :-1]
        xx, xy, yy = ((a * b).mean((1, 2, 3)) for a, b in ((across, across), (across, down), (down, down)))
        least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
        return np.asarray(np.sqrt(np.maximum(least, 0)), np.float32)

    def samples(self, prepared: NDArray[np.uint8], pixels: Array) -> NDArray[np.uint8]:
        """Likewise, with their mean colours: uint8."""
        x, y = (pixels[:, axis, None] + self._offsets[axis] for axis in (0, 1))
        return read(prepared, x, y).reshape(len(pixels), 3 * PATCH_SIDE**2)

    def compare(self, patches: Array, samples: NDArray[Any]) -> Array:
        """Similarity (P,), in [-1, 1], of patches (P, n), which are less their means, and samples (P, n).

        Samples keep theirs, which saves half of the time: the inner product with a patch has no part in them, and what
        they add to the squared length is known.
        """
        return _fastest()(patches, samples, 2 * NOISE**2 * patches.shape[-1])


def similarity(patches: Array, samples: NDArray[Any], noise: float) -> Array:
    """Similarity (P,) of patches (P, n), less their means, and samples (P, n) over a noise floor."""
    samples = samples.astype(np.float32, copy=False)
    sums = _sums(samples)
    length = _products(samples, samples) - _products(sums, sums) / PATCH_SIDE**2
    found = (2 * _products(patches, samples) + noise) / (_products(patches, patches) + length + noise)
    return np.minimum(found, 1, dtype=np.float32)


def _sums(samples: Array) -> NDArray[np.float64]:
    """Of the samples (P, n) of each colour: (P, 3). Samples are whole numbers, and so exact are their sums."""
    colours = samples.reshape(len(samples), PATCH_SIDE**2, 3)
    return np.asarray(np.einsum("psc->pc", colours), np.float64)


def _products(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    """Inner products of vectors (P, n): (P,)."""
    return np.asarray(np.einsum("pn,pn->p", a, b))  # numpy's sums of short rows are slow


Compare = Callable[[Array, NDArray[Any], float], Array]


@lru_cache
def _fastest() -> Compare:
    """`similarity`, compiled where it can be."""
    return compiled_or(similarity, "omnitrack.correspondence.compiled.patches", "similarity", _agree)


def _agree(first: Compare, second: Compare) -> bool:
    samples = np.random.default_rng(0).integers(0, 256, (2, 50, 3 * PATCH_SIDE**2)).astype(np.uint8)
    patches = samples[0].astype(np.float32)
    patches -= np.tile(_sums(patches) / PATCH_SIDE**2, PATCH_SIDE**2).astype(np.float32)
    found = (compare(patches, other, 600.0) for other in samples for compare in (first, second))
    return all(np.allclose(a, b, atol=1e-5) for a, b in zip(found, found, strict=True))


def prepared_bytes(size: tuple[int, int]) -> int:
    """What a frame of `size` (width, height) takes as `FramePatches` keeps it."""
    return 3 * size[0] * size[1]


class FramePatches:
    """Patches of a clip's frames, which are read when they are needed; some are kept.

    Args:
        frame: Gives frame t as (H, W, 3) uint8.
        size: (width, height) of the frames in pixels.
        cache_bytes: Prepared frames to keep, `CACHE_BYTES` at most; one is always kept.
    """

    def __init__(
        self, frame: Callable[[int], NDArray[np.uint8]], size: tuple[int, int], cache_bytes: int = CACHE_BYTES
    ) -> None:
        self._similarity = PatchSimilarity(size)
        frames = max(1, min(cache_bytes, CACHE_BYTES) // prepared_bytes(size))
        self._prepared = lru_cache(frames)(lambda t: self._similarity.prepare(frame(t)))

    def patches(self, frame: int, pixels: Array) -> Array:
        """Patches (P, n) around pixels (P, 2) of a frame, see `PatchSimilarity.patches`."""
        return self._similarity.patches(self._prepared(frame), pixels)

    def texture(self, patches: Array) -> Array:
        """Of patches (P, n), see `PatchSimilarity.texture`."""
        return self._similarity.texture(patches)

    def similarity(self, patches: Array, frame: int, pixels: Array) -> Array:
        """Similarity (P,), in [-1, 1], of patches with the places `pixels` (P, 2) of a frame."""
        return self._similarity.compare(patches, self._similarity.samples(self._prepared(frame), pixels))
