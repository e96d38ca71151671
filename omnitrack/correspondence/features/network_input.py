"""Frames as input of networks: resized to a working size, and normalised."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def network_size(size: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """Return the size (width, height) of frames as input of a network.

    Args:
        size: (width, height) of the frames.
        side: Shorter side before rounding.
        multiple: Both sides are rounded down to multiples of this, but never to 0.
    """
    scale = side / min(size)
    width, height = (max(1, int(round(length * scale, 6) // multiple)) * multiple for length in size)
    return width, height


def network_input(
    frames: Sequence[NDArray[np.uint8]],
    size: tuple[int, int],
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    white: float = 1.0,
) -> NDArray[np.float32]:
    """Convert frames (H, W, 3) uint8 RGB to a batch (B, 3, h, w) float32.

    Args:
        frames: B frames.
        size: (w, h) to resize to: by area if both sides shrink, else bilinear.
        mean: Subtracted, per channel.
        std: Divided by, per channel.
        white: Value of 255 before mean and std.
    """
    resized = [resize(frame, size) for frame in frames]
    values = np.stack(resized).astype(np.float32) * np.float32(white / 255)
    values = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def resize(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a frame (H, W, 3) to `size` (width, height)."""
    height, width = frame.shape[:2]
    if (width, height) == size:
        return frame
    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)
