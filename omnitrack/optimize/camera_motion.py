"""The camera's motion: the dominant affine map between frames, accumulated over the clip."""

from __future__ import annotations

from dataclasses import dataclass

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
    num_frames, known = data.num_frames, _steps(data, camera)
    steps = [_adjacent_affine(data, camera, known, t) for t in range(num_frames - 1)]  # t -> t + 1
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


@dataclass(frozen=True)
class _Steps:
    """Correspondences of adjacent frames on the host.

    Attributes:
        index: Of each measured pair of adjacent frames its row here.
        here: (P, 2) local coordinates of the grid points.
        there: (n, P, 2) local coordinates of where they are.
        valid: (n, P) which of them are believed and seen.
    """

    index: dict[tuple[int, int], int]
    here: NDArray[np.float32]
    there: NDArray[np.float32]
    valid: NDArray[np.bool_]


def _steps(data: Correspondences, camera: Camera) -> _Steps:
    """All that `_adjacent_affine` reads, fetched at once."""
    entries = torch.nonzero((data.targets - data.sources[:, None]).abs() * (data.targets >= 0) == 1)
    source, slot = entries.unbind(1)
    frames = torch.stack([data.sources[source], data.targets[source, slot]], 1).tolist()
    there = data.grid + data.displacement[source, slot] * data.unit_px
    valid = (data.confidence[source, slot] > 0) & ~data.occluded[source, slot]
    here, there = (camera.lift(pixels, torch.zeros_like(pixels[..., 0]))[..., :2] for pixels in (data.grid, there))
    index = {(a, b): row for row, (a, b) in reversed(list(enumerate(frames)))}  # the first of equals
    return _Steps(index, here.cpu().numpy(), there.cpu().numpy(), valid.cpu().numpy())


def _adjacent_affine(data: Correspondences, camera: Camera, steps: _Steps, frame: int) -> NDArray[np.float64]:
    """3 x 3 map of local coordinates from `frame` to the next; the identity where too little is known."""
    for source, target in ((frame, frame + 1), (frame + 1, frame)):
        row = steps.index.get((source, target))
        if row is None:
            continue
        valid = steps.valid[row]
        a, b = np.ascontiguousarray(steps.here[valid]), np.ascontiguousarray(steps.there[row][valid])
        if len(a) < 16:
            continue
        threshold = RANSAC_PX * raster_scale(data.size) / camera.half_extent_px
        affine, _ = cv2.estimateAffine2D(a, b, method=cv2.RANSAC, ransacReprojThreshold=threshold)
        if affine is not None and 0.5 < np.linalg.det(affine[:, :2]) < 2.0:
            whole = np.vstack([affine, [0, 0, 1]])
            return whole if source == frame else np.linalg.inv(whole)
    return np.eye(3)
