"""Depth maps as colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def depth_colours(depth: NDArray[np.floating], near: float, far: float) -> NDArray[np.uint8]:
    """Colour a depth map with the turbo map: red is near, blue is far.

    Args:
        depth: (H, W), smaller is nearer.
        near: Depth of the nearest colour; with `far` fixed for a clip, its frames stay comparable.
        far: Depth of the farthest colour.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    nearness = np.clip((far - depth) / max(far - near, 1e-9), 0, 1)
    levels = np.rint(255 * nearness).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[..., ::-1])
