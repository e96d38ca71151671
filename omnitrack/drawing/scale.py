"""One number per pixel, depth or confidence, as perceptually uniform colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SPECK_PX = 5  # side of the median filter that removes specks and keeps edges
SOFTNESS_PX = 1.0  # standard deviation of the Gaussian that hides the texels


def scale_colours(share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour numbers (H, W) from 0 (dark blue) to 1 (yellow) as (H, W, 3) uint8 RGB.

    Source:
        Smith and van der Walt, "A Better Default Colormap for Matplotlib", 2015 (viridis).
    """
    levels = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])


def depth_colours(depth: NDArray[np.floating], near: float, far: float) -> NDArray[np.uint8]:
    """Colour a depth map: yellow is near, dark blue is far.

    Args:
        depth: (H, W), smaller is nearer.
        near: Depth of the nearest colour; if it and `far` are fixed for a clip, its frames stay comparable.
        far: Depth of the farthest colour.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return scale_colours((far - depth) / max(far - near, 1e-9))


def smooth_depth(depth: NDArray[np.floating]) -> NDArray[np.float32]:
    """Remove specks and the blocks of texels from a depth map (H, W); edges stay in place."""
    median = cv2.medianBlur(np.asarray(depth, np.float32), SPECK_PX)
    return np.asarray(cv2.GaussianBlur(median, (0, 0), SOFTNESS_PX), np.float32)
