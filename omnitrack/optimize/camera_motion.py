"""The camera's motion: the dominant affine map between frames, accumulated over the clip."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.units import raster_scale

RANSAC_PX = 2.0  # at 256 x 256


def camera_motion(data: Correspondences, camera: Camera) -> Tensor:
    """The dominant motion as one affine map per frame.

    Adjacent frames are related by a RANSAC affine through their correspondences; the maps are accumulated to the
    middle frame and scaled so that the frames' union fits in [-1, 1].

    Returns:
        (T, 2, 3) float32 maps from a frame's local (x, y, 1) to canonical (x, y).
    """
    num_frames = data.num_frames
    steps = [_adjacent_affine(data, camera, t) for t in range(num_frames - 1)]  # t -> t + 1
    middle = num_frames // 2
    to_middle = {middle: np.eye(3)}
    for t in range(middle - 1, -1, -1):
        to_middle[t] = to_middle[t + 1] @ steps[t]
    for t in range(middle + 1, num_frames):
        to_middle[t] = to_middle[t - 1] @ np.linalg.inv(steps[t - 1])
    maps = np.stack([to_middle[t] for t in range(num_frames)])
    width, height = np.array(data.size) / max(data.size)
    corners = np.array([[x, y, 1.0] for x in (-width, width) for y in (-height, height)]).T
    extent = (maps @ corners)[:, :2]
    low, high = extent.min(axis=(0, 2)), extent.max(axis=(0, 2))
    fit = np.diag([*(2 / (high - low)).min(keepdims=True).repeat(2), 1.0])
    fit[:2, 2] = -fit[0, 0] * (low + high) / 2
    return torch.as_tensor((fit @ maps)[:, :2], dtype=torch.float32)


def _adjacent_affine(data: Correspondences, camera: Camera, frame: int) -> NDArray[np.float64]:
    """3 x 3 map of local coordinates from `frame` to the next; the identity where too little is known."""
    for source, target in ((frame, frame + 1), (frame + 1, frame)):
        entry = torch.nonzero((data.sources[:, None] == source) & (data.targets == target))
        if not len(entry):
            continue
        s, k = entry[0].tolist()
        valid = torch.nonzero((data.confidence[s, k] > 0) & ~data.occluded[s, k]).flatten()
        here = data.grid[valid]
        there = data.landing(torch.full_like(valid, s), torch.full_like(valid, k), valid)
        zeros = torch.zeros(len(valid), device=here.device)
        a = camera.lift(here, zeros)[:, :2].contiguous().cpu().numpy()
        b = camera.lift(there, zeros)[:, :2].contiguous().cpu().numpy()
        if len(a) < 16:
            continue
        threshold = RANSAC_PX * raster_scale(data.size) / camera.half_extent_px
        affine, _ = cv2.estimateAffine2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=threshold)
        if affine is not None and 0.5 < np.linalg.det(affine[:, :2]) < 2.0:
            whole = np.vstack([affine, [0, 0, 1]])
            return whole if source == frame else np.linalg.inv(whole)
    return np.eye(3)
