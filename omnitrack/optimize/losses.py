"""What a CaDeX++ field is asked to agree with.

Hidden correspondences only order the surfaces: they say what is behind what, but flow into occlusion is too rough to
be followed (of the development clips' hidden ends of chains fewer than one in ten was within 4 px).

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


def flow_gradient(difference: Tensor, weight: Tensor) -> Tensor:
    """Mean error of the flow's spatial differences, between the first half of the anchors and their grid neighbours.

    The published codes difference random, unrelated points instead.

    Args:
        difference: (2 B, M, 2) predictions less correspondences, the second half those of the neighbours.
        weight: (2 B, M) of each correspondence.
    """
    half = len(difference) // 2
    both = weight[:half] * weight[half:]
    error = (difference[:half] - difference[half:]).abs().mean(-1)
    return (both * error).sum() / both.sum().clamp_min(1e-6)


def cadex_losses(
    field: CadexField, batch: Batch, settings: CadexSettings, flow_gradient_weight: float = 0.0
) -> tuple[dict[str, Tensor], Tensor]:
    """The weighted terms of one step, and each anchor's error.

    Args:
        field: Is judged.
        batch: Drawn with neighbours where `flow_gradient_weight` is above zero.
        settings: Weights.
        flow_gradient_weight: Of `flow_gradient`; 0 leaves it out.

    Returns:
        Terms by name, scalars whose sum is the loss; and (B,) mean distance of the anchors' predictions from their
        correspondences, in pixels at 256 x 256, for hard mining.
    """
    anchors, targets = batch.target_frames.shape
    scale = FRAME_PX / max(field.camera.size)  # 256-raster pixels per pixel
    depth_px = field.camera.half_extent_px * scale  # ... and per unit of depth
    columns = field.warp.time_columns()
    frames = batch.target_frames.flatten()
    texels = torch.cat(
        [
            field.depth.texel(batch.source_pixels, batch.source_frames),
            field.depth.texel(batch.target_pixels.flatten(0, 1), frames),
        ]
    )
    around = torch.cat([texels[None], field.depth.left_and_above(texels)])
    surface = field.depth.maps.flatten()[around]  # read once: each read costs a gradient of the maps' size
    initial = field.depth.initial.flatten()[around]

    lifted = field.camera.lift(batch.source_pixels, surface[0, :anchors])
    canonical = field.warp(lifted, batch.source_frames, columns)
    shared = canonical[:, None].expand(-1, targets, -1).flatten(0, 1)
    points = field.warp.inverse(shared, frames, columns)
    landed = field.camera.project(points).view(anchors, targets, 2)
    depth, seen_depth, prior_depth = points[:, 2], surface[0, anchors:], initial[0, anchors:]

    confidence = batch.confidence
    total = confidence.sum().clamp_min(1e-6)
    hidden = (confidence * batch.occluded).flatten()
    seen = confidence.flatten() - hidden
    difference = (landed - batch.target_pixels) * scale
    steps = (surface[1:] - surface[:1]) - (initial[1:] - initial[:1])
    in_front = torch.relu(settings.occlusion_margin + seen_depth - depth)
    terms = {
        "flow": (seen.view_as(confidence) * robust_distance(difference)).sum() / total,
        "depth": settings.depth_weight * depth_px * (seen * (depth - seen_depth).abs()).sum() / total,
        "depth_prior": settings.depth_prior_weight * depth_px * (seen * (depth - prior_depth).abs()).sum() / total,
        "depth_gradient": settings.depth_gradient_weight * depth_px * steps.abs().sum(0).mean(),
        "occlusion": settings.occlusion_weight * depth_px * (hidden * in_front).sum() / total,
    }
    if flow_gradient_weight > 0:
        terms["flow_gradient"] = flow_gradient_weight * flow_gradient(difference, seen.view_as(confidence))
    errors = (confidence * difference.detach().norm(dim=-1)).sum(-1) / confidence.sum(-1).clamp_min(1e-6)
    return terms, errors
