"""Similarity in appearance of two positions after alignment: patches warped by the map of their surroundings.

The similarity is that of `appearance.py`, but the patches are larger, have the largest weights in the middle, rotate
and stretch with their object, and must also agree in their mean colour.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import CACHE_BYTES, NOISE
from omnitrack.correspondence.raster import Array, read
from omnitrack.units import raster_scale

SIDE = 7  # samples per side
SPACING_PX, DEVIATION_PX = 1.5, 3.5  # between samples, and of their weights, at 256 x 256
MOST_OTHER = 24.0  # largest difference of mean colours, 0 to 255, of patches that can match
UNLIKE = -1.0


class WarpedPatches:
    """Patches of a clip's frames, which are read on demand; some frames are cached.

    Args:
        frame: Returns frame t as (H, W, 3) uint8.
        size: (width, height) of the frames in pixels.
        cache_bytes: Memory for prepared frames, at three bytes per pixel; one frame is always cached.
    """

    def __init__(
        self, frame: Callable[[int], NDArray[np.uint8]], size: tuple[int, int], cache_bytes: int = CACHE_BYTES
    ) -> None:
        scale = raster_scale(size)
        steps = (np.arange(SIDE) - SIDE // 2) * SPACING_PX * scale
        self._offsets = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2).astype(np.float32)
        weights = np.exp(-(self._offsets**2).sum(1) / (2 * (DEVIATION_PX * scale) ** 2))
        self._weights = (weights / weights.sum()).astype(np.float32)
        blur = max(SPACING_PX * scale / 2, 0.3)
        self._prepared = lru_cache(max(1, cache_bytes // (3 * size[0] * size[1])))(
            lambda t: cv2.GaussianBlur(frame(t), (0, 0), blur)
        )

    def patches(self, frame: int, pixels: Array, maps: Array | None = None) -> Array:
        """Patches (P, n, 3) around pixels (P, 2) of a frame, warped by maps (P, 2, 2) if given."""
        offsets = self._offsets[None] if maps is None else self._offsets @ np.swapaxes(maps, 1, 2)
        at = (pixels[:, None] + offsets).astype(np.float32)
        x, y = (np.ascontiguousarray(at[..., axis]) for axis in (0, 1))
        return read(self._prepared(frame), x, y).astype(np.float32)

    def compare(self, first: Array, second: Array) -> Array:
        """Similarity (P,), in [-1, 1], of two sets of patches (P, n, 3)."""
        mean, other = self._weights @ first, self._weights @ second

        def product(a: Array, b: Array) -> Array:
            flat = (len(a), 3 * SIDE**2)
            weighted = np.repeat(self._weights, 3) * a.reshape(flat)
            return np.asarray(np.einsum("pn,pn->p", weighted, b.reshape(flat)), np.float32)

        length = product(first, first) - (mean**2).sum(1) + product(second, second) - (other**2).sum(1)
        noise = np.float32(2 * NOISE**2 * 3)
        found = (2 * (product(first, second) - (mean * other).sum(1)) + noise) / (length + noise)
        return np.where(np.abs(mean - other).max(1) > MOST_OTHER, np.float32(UNLIKE), found)

    def contrast(self, patches: Array) -> Array:
        """Standard deviation (P,) of patches (P, n, 3) about their mean colours, in levels of 0 to 255."""
        about = patches - patches.mean(1, keepdims=True)
        return np.sqrt((about**2).mean((1, 2)))
