"""Agreement in colour of two frames after alignment by a flow."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

_SUM = np.ones((1, 3), np.float32)  # over channels: numpy is twenty times slower along an axis this short


def photometric_error(
    source: NDArray[np.uint8], target: NDArray[np.uint8], flow: NDArray[np.float32], sigma_px: float
) -> NDArray[np.float32]:
    """Difference of two frames after alignment by a flow: the mean squared difference of colours around each pixel.

    Args:
        source: (H, W, 3) RGB.
        target: (H, W, 3) RGB.
        flow: (H, W, 2) from `source` to `target`, in pixels.
        sigma_px: Standard deviation of the Gaussian around a pixel.

    Returns:
        (H, W), 0 where the frames are equal.
    """
    height, width = source.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    edge = cv2.BORDER_REPLICATE
    moved = cv2.remap(target, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=edge)
    differences = cv2.absdiff(moved, source)
    squares = cv2.transform(cv2.multiply(differences, differences, dtype=cv2.CV_32F), _SUM)
    return np.asarray(cv2.GaussianBlur(squares, (0, 0), sigma_px), np.float32)


def has_lower_error(
    source: NDArray[np.uint8],
    target: NDArray[np.uint8],
    flow: NDArray[np.float32],
    other: NDArray[np.float32],
    sigma_px: float,
) -> NDArray[np.bool_]:
    """Where (H, W) the target is closer to the source after `flow` than after `other`; see `photometric_error`."""
    return photometric_error(source, target, flow, sigma_px) < photometric_error(source, target, other, sigma_px)
