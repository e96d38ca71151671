"""What a CaDeX++ field is asked to agree with.

All terms are in pixels of the 256 x 256 raster (depths times the pixels in one local unit), so that the published
weights keep their meaning at every frame size.

Source:
    CaDeX++ (ECCV 2024), section 3.4; the occlusion order is ours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.motion.cadex import CadexField
from omnitrack.optimize.sampler import Batch
from omnitrack.settings import CadexSettings

OUTLIER_PX = 8.0  # beyond this distance the pull of a correspondence no longer grows but falls
FRAME_PX = 256.0


def robust_distance(difference: Tensor, outlier_px: float = OUTLIER_PX) -> Tensor:
    """Length of (..., 2) differences, growing as a logarithm beyond `outlier_px`: c log(1 + d / c)."""
    distance = torch.sqrt((difference**2).sum(-1) + 1e-6)
    return outlier_px * torch.log1p(distance / outlier_px)


def cadex_losses(field: CadexField, batch: Batch, settings: CadexSettings) -> tuple[dict[str, Tensor], Tensor]:
    """The weighted terms of one step, and each anchor's error.

    Returns:
        Terms by name, scalars whose sum is the loss; and (B,) mean distance of the anchors' predictions from their
        correspondences, in pixels at 256 x 256, for hard mining.
    """
    anchors, targets = batch.target_frames.shape
    scale = FRAME_PX / max(field.camera.size)  # 256-raster pixels per pixel
    depth_px = field.camera.half_extent_px * scale  # ... and per unit of depth
    columns = field.warp.time_columns()
    source_texels = field.depth.texel(batch.source_pixels, batch.source_frames)
    maps = field.depth.maps.flatten()
    lifted = field.camera.lift(batch.source_pixels, maps[source_texels])
    canonical = field.warp(lifted, batch.source_frames, columns)
    frames = batch.target_frames.flatten()
    points = field.warp.inverse(canonical.repeat_interleave(targets, 0), frames, columns)
    landed = field.camera.project(points).view(anchors, targets, 2)
    depth = points[:, 2].view(anchors, targets)

    confidence = batch.confidence
    total = confidence.sum().clamp_min(1e-6)
    difference = (landed - batch.target_pixels) * scale
    flow = (confidence * robust_distance(difference)).sum() / total

    target_texels = field.depth.texel(batch.target_pixels.view(-1, 2), frames)
    seen = (confidence * ~batch.occluded).flatten()
    depth_error = (points[:, 2] - maps[target_texels]).abs() * depth_px
    prior_error = (points[:, 2] - field.depth.initial.flatten()[target_texels]).abs() * depth_px
    terms = {
        "flow": flow,
        "depth": settings.depth_weight * (seen * depth_error).sum() / total,
        "depth_prior": settings.depth_prior_weight * (seen * prior_error).sum() / total,
    }
    if settings.depth_gradient_weight > 0:
        now, start = field.depth.gradient_at(torch.cat([source_texels, target_texels]))
        terms["depth_gradient"] = settings.depth_gradient_weight * (now - start).norm(dim=-1).mean() * depth_px
    if settings.occlusion_weight > 0:
        surface = field.depth(batch.target_pixels.view(-1, 2), frames).view(anchors, targets)
        in_front = torch.relu(settings.occlusion_margin + surface - depth) * depth_px
        hidden = confidence * batch.occluded
        terms["occlusion"] = settings.occlusion_weight * (hidden * in_front).sum() / total
    errors = (confidence * difference.detach().norm(dim=-1)).sum(-1) / confidence.sum(-1).clamp_min(1e-6)
    return terms, errors
