"""The initial depth of a fit, from motion and occlusion.

If all depths were equal, a moving object could not separate from the surface that it covers, because a bijection of one
surface is continuous. So, without a depth prior, depth starts from motion: surfaces that move relative to the camera's
motion are assumed to be nearer, and a surface that covers another one is nearer than that one.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.along_tracks import CHUNK_MAPS, mean_along_tracks
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.occlusion_order import FAR, NEAR, bring_covers_forward, part_at_occlusions
from omnitrack.units import raster_scale

HALF_WAY_PX = 3.0  # residual motion, at 256 x 256, that puts a point half way between far and near
REACH = 8  # frames: residual motion is measured in targets up to this far away


def depth_from_motion(data: Correspondences, camera: Camera, affine: Tensor) -> Tensor:
    """Initial depth of every grid point of every frame, (T, rows, columns), from FAR (0.5) to NEAR (-0.5).

    Args:
        data: Correspondences; frames that are not sources take their depth from the nearest source frame.
        camera: The frames' camera.
        affine: From `camera_motion`.
    """
    depth = depth_by_motion(data, camera, affine)
    depth = bring_covers_forward(data, part_at_occlusions(data, depth), depth)
    rows, columns = data.grid_shape
    depth = _median(depth.view(-1, 1, rows, columns))[:, 0]
    return of_all_frames(data, depth)


def depth_by_motion(data: Correspondences, camera: Camera, affine: Tensor) -> Tensor:
    """Depth (S, P) from motion alone, one per track: FAR if it moves like the camera, nearer the more it differs."""
    residual = _residual_motion(data, camera, affine.to(data.grid))
    share = residual / (residual + HALF_WAY_PX)
    return mean_along_tracks(data, FAR + (NEAR - FAR) * share)


def of_all_frames(data: Correspondences, values: Tensor) -> Tensor:
    """Extend values (S, ...) of the source frames to all frames (T, ...), each from the nearest source frame."""
    frames = torch.arange(data.num_frames, device=values.device)
    return values[(frames[:, None] - data.sources[None]).abs().argmin(1)]


def _residual_motion(data: Correspondences, camera: Camera, affine: Tensor) -> Tensor:
    """Mean motion of each grid point relative to the camera's, over targets within reach; (S, P) px at 256 x 256."""
    points = camera.lift(data.grid, torch.zeros_like(data.grid[:, 0]))[:, :2]
    here, scale = affine[data.sources], camera.half_extent_px / raster_scale(data.size)
    at_rest = _apply(here, points)
    linear = here[:, :, :2].det().abs().sqrt()[:, None]
    near = (data.targets >= 0) & ((data.targets - data.sources[:, None]).abs() <= REACH)
    total = torch.zeros_like(at_rest[..., 0])
    weight = torch.zeros_like(total)
    for k in range(data.targets.shape[1]):
        there = data.grid + data.displacement[:, k] * data.unit_px
        there = camera.lift(there, torch.zeros_like(there[..., 0]))[..., :2]
        gap = _apply(affine[data.targets[:, k].clamp_min(0)], there) - at_rest
        sure = data.confidence[:, k] / 255.0 * near[:, k, None]
        total += sure * (gap.norm(dim=-1) / linear * scale)
        weight += sure
    return total / weight.clamp_min(1e-3)


def _apply(affine: Tensor, points: Tensor) -> Tensor:
    """Apply maps (S, 2, 3) to points (S, P, 2), or to (P, 2), the same for all maps: (S, P, 2)."""
    return points @ affine[:, :, :2].mT + affine[:, None, :, 2]


def _median(maps: Tensor) -> Tensor:
    """3 x 3 median of (n, 1, h, w)."""
    return torch.cat([_median_of(part) for part in maps.split(CHUNK_MAPS)])


def _median_of(maps: Tensor) -> Tensor:
    patches = F.unfold(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3)
    return patches.median(dim=1, keepdim=True).values.view(maps.shape)
