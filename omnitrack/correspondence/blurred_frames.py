"""Frames blurred to the distance between the samples of a patch, so that few samples stand for all pixels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.units import raster_scale

SPACING_PX = 1.5  # between samples of a patch, at 256 x 256
LEAST_BLUR = 0.3  # standard deviation in pixels, of frames that are smaller than a sample is wide
CACHE_BYTES = 384 * 2**20  # 320 frames of 480p: a chain's window and the frames that the threads work on

Image = NDArray[np.uint8]


def sample_spacing(size: tuple[int, int]) -> float:
    """Distance between the samples of a patch in pixels of frames of `size` (width, height)."""
    return SPACING_PX * raster_scale(size)


def sample_offsets(side: int, size: tuple[int, int]) -> NDArray[np.float32]:
    """Offsets x and y (2, side * side) of a patch's samples from its centre, in pixels of frames of `size`."""
    steps = (np.arange(side) - side // 2) * sample_spacing(size)
    return np.stack(np.meshgrid(steps, steps)).reshape(2, -1).astype(np.float32)


def blurred_bytes(size: tuple[int, int]) -> int:
    """Memory, in bytes, of a frame of `size` (width, height) as `BlurredFrames` caches it."""
    return 3 * size[0] * size[1]


class BlurredFrames:
    """A clip's frames, which are read and blurred on demand; some are cached. Threads may share it.

    Args:
        frame: Returns frame t as (H, W, 3) uint8.
        size: (width, height) of the frames in pixels.
        cache_bytes: Memory for blurred frames, at most `CACHE_BYTES`; one frame is always cached.

    Attributes:
        size: (width, height) of the frames.
    """

    def __init__(self, frame: Callable[[int], Image], size: tuple[int, int], cache_bytes: int = CACHE_BYTES) -> None:
        self.size, self._first = size, 0
        blur = max(sample_spacing(size) / 2, LEAST_BLUR)
        frames = max(1, min(cache_bytes, CACHE_BYTES) // blurred_bytes(size))
        # without self: no cycle keeps the cache alive
        self._blurred = lru_cache(frames)(lambda t: np.asarray(cv2.GaussianBlur(frame(t), (0, 0), blur), np.uint8))

    def __getitem__(self, t: int) -> Image:
        """Frame t, blurred: (H, W, 3)."""
        return self._blurred(self._first + t)

    def within(self, frames: range) -> BlurredFrames:
        """Some consecutive frames, numbered from the first of them; the cache is shared."""
        part = copy.copy(self)
        part._first += frames.start
        return part
