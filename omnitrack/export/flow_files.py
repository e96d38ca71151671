"""Optical flow in the file formats of the benchmarks: Middlebury's .flo and KITTI's 16-bit PNG.

Convention:
    A displacement (u, v) in pixels from a frame to the next, u right, v down, at every pixel; (0, 0) is no motion.
    Pixels are square; frames are numbered from 0.

Source:
    Middlebury: Baker et al., A database and evaluation methodology for optical flow, IJCV 2011; flow-code, README.txt:
    the float 202021.25, width, height, then u and v interleaved, little-endian; values above 1e9 are unknown.
    KITTI: readme.txt of the flow 2015 development kit: PNG of three channels of 16 bits: 64 u + 2^15, 64 v + 2^15, and
    whether the pixel is valid.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FLO_TAG, FLO_UNKNOWN = 202021.25, 1e10
KITTI_STEPS, KITTI_ZERO, KITTI_LARGEST = 64, 1 << 15, (1 << 16) - 1  # steps per pixel, zero motion, the largest value


def flo(flow: NDArray[np.floating]) -> bytes:
    """Return a .flo file of flow (H, W, 2); values that are not finite become unknown."""
    height, width = flow.shape[:2]
    known = np.where(np.isfinite(flow).all(-1, keepdims=True), flow, FLO_UNKNOWN)
    head = np.array([FLO_TAG], "<f4").tobytes() + np.array([width, height], "<i4").tobytes()
    return head + known.astype("<f4").tobytes()


def kitti(flow: NDArray[np.floating], valid: NDArray[np.bool_]) -> bytes:
    """Return a KITTI PNG of flow (H, W, 2); pixels not `valid` (H, W) or beyond 512 pixels are 0 in all channels."""
    steps = np.rint(np.where(valid[..., None], flow, 0) * KITTI_STEPS + KITTI_ZERO)
    fits = valid & ((steps >= 0) & (steps <= KITTI_LARGEST)).all(-1)
    channels = np.dstack([steps, np.ones(valid.shape)])
    picture = np.where(fits[..., None], channels, 0).astype(np.uint16)
    _, data = cv2.imencode(".png", picture[..., ::-1])  # OpenCV's order is BGR
    return bytes(data)
