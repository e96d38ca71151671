"""The rays of a batch: cast through its anchors, guided by the initial depth, carried to other frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from omnitrack.motion.omnimotion import OmniMotionField, Rays
from omnitrack.motion.rendering import accumulate, stratified_depths
from omnitrack.motion.warp import TimeColumns
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.moment import Moment
from omnitrack.settings import OmniMotionSettings


@dataclass(frozen=True)
class RayBatch:
    """The rays of a batch's B anchors, and their positions in the target frames.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        rays: Rays with K samples each.
        prior: (B, K) closeness of each sample to the initial depth of its ray, at most 1.
        tracked: The rays with only the k samples that are tracked.
        points: (B, M, k, 3) the tracked samples in the target frames.
        landed: (B, M, 2) the pixel at which the tracked samples of a ray land, by weight.
        columns: Time columns of the warp.
    """

    rays: Rays
    prior: Tensor
    tracked: Rays
    points: Tensor
    landed: Tensor
    columns: TimeColumns


def cast_batch(field: OmniMotionField, batch: Batch, s: OmniMotionSettings, context: StepContext) -> RayBatch:
    """Cast the rays of a batch's anchors and carry them to the target frames."""
    shape, columns = field.shape, field.warp.time_columns()
    depths = stratified_depths(len(batch.source_frames), shape.near, shape.far, shape.samples, context.generator)
    rays = field.cast(batch.source_pixels, batch.source_frames, depths, columns)
    prior = _near_depth(rays.depths, field.first_depths(batch.source_pixels, batch.source_frames))
    tracked = _guided(rays, prior, context.moment).strongest(s.tracked_samples or shape.samples)
    points = carry(field, tracked.canonical, batch.target_frames, columns)
    z = points[..., 2]
    inside = ((z >= shape.near) & (z <= shape.far)).float()
    landed = field.camera.project(accumulate(tracked.weights[:, None] * inside, points, s.normalise_weights))
    return RayBatch(rays, prior, tracked, points, landed, columns)


def carry(field: OmniMotionField, canonical: Tensor, frames: Tensor, columns: TimeColumns) -> Tensor:
    """Carry canonical samples (B, K, 3) to frames (B, M): (B, M, K, 3)."""
    anchors, count = canonical.shape[:2]
    shared = canonical[:, None].expand(-1, frames.shape[1], -1, -1)
    along = frames[..., None].expand(-1, -1, count)
    points = field.warp.inverse(shared.flatten(0, 2), along.flatten(), columns)
    return points.view(anchors, frames.shape[1], count, 3)


def _near_depth(depths: Tensor, depth: Tensor) -> Tensor:
    """Closeness of samples at depths (B, K) to one depth per ray (B,): 1 there, falling off over a sample spacing."""
    spacing = (depths[:, -1:] - depths[:, :1]) / depths.shape[1]
    return torch.exp(-0.5 * ((depths - depth[:, None]) / spacing) ** 2)


def _guided(rays: Rays, prior: Tensor, moment: Moment) -> Rays:
    """Move a share of the rays' weight, which falls to zero in the run, to the surface by `prior` (B, K).

    The rest stays at the surfaces of the volume.
    """
    if not moment.stage["is_guided"]:
        return rays
    surface = prior / prior.sum(-1, keepdim=True).clamp_min(1e-6)
    return replace(rays, weights=moment.values["guided"] * surface + moment.values["unguided"] * rays.weights)
