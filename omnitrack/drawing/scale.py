"""One number a pixel, depth or confidence, as colours in which equal steps look equally large."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SPECK_PX = 5  # side of the median that takes specks away, and leaves edges
SOFTNESS_PX = 1.0  # standard deviation of what hides the texels


def scale_colours(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colours (H, W, 3) of numbers (H, W) from 0, dark blue, to 1, yellow.

    Source:
        Smith and van der Walt, "A Better Default Colormap for Matplotlib", 2015 (viridis).
    """
    levels = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def depth_colours(depth: NDArray[np.floating], near: float, far: float) -> NDArray[np.uint8]:
    """Colour a depth map: yellow is near, dark blue is far.

    Args:
        depth: (H, W), smaller is nearer.
        near: Depth of the nearest colour; with `far` fixed for a clip, its frames stay comparable.
        far: Depth of the farthest colour.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return scale_colours((far - depth) / max(far - near, 1e-9))


def smooth_depth(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """A depth map (H, W) without specks and without the blocks of its texels; edges stay where they are."""
    median = cv2.medianBlur(np.asarray(depth, np.float32), SPECK_PX)
    return np.asarray(cv2.GaussianBlur(median, (0, 0), SOFTNESS_PX), np.float32)
