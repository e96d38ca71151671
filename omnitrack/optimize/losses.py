"""Loss terms that the methods share, in px at 256 x 256, so that weights suit every frame size."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.batch import Batch
from omnitrack.settings import FitSettings
from omnitrack.units import raster_scale


def robust_distance(difference: Tensor, outlier_px: float) -> Tensor:
    """Robust length of differences d (..., 2), which grows ever more slowly with the distance.

        c log(1 + |d| / c)

    Args:
        difference: (..., 2).
        outlier_px: c: the distance beyond which the gradient falls. 0 uses the published (|dx| + |dy|) / 2 instead.
    """
    if outlier_px == 0:
        return difference.abs().mean(-1)
    distance = torch.sqrt((difference**2).sum(-1) + 1e-6)
    return outlier_px * torch.log1p(distance / outlier_px)


def flow_gradient(difference: Tensor, weight: Tensor, random: bool = False) -> Tensor:
    """Mean error of the flow's spatial differences, between the first half of the anchors and their grid neighbours.

    Args:
        difference: (2 B, M, 2) predictions minus correspondences; the second half belongs to the neighbours.
        weight: (2 B, M) weight of each correspondence.
        random: Use differences of consecutive, unrelated anchors instead, as the published codes do.
    """
    half = len(difference) // 2
    first, second = (slice(1, None), slice(None, -1)) if random else (slice(None, half), slice(half, None))
    both = weight[first] * weight[second]
    error = (difference[first] - difference[second]).abs().mean(-1)
    return (both * error).sum() / both.sum().clamp_min(1e-6)


def flow_terms(
    landed: Tensor,
    batch: Batch,
    camera: Camera,
    settings: FitSettings,
    normalise: bool = True,
    random_neighbours: bool = False,
) -> tuple[dict[str, Tensor], Tensor]:
    """Agreement of predictions with the visible correspondences, and each anchor's error.

    Args:
        landed: (B, M, 2) predicted pixels in the target frames.
        batch: The correspondences; with neighbours if the flow gradient has a weight.
        camera: Camera of the frames.
        settings: Uses ``outlier_px`` and ``flow_gradient_weight``.
        normalise: Divide by the sum of the confidences, not by their number.
        random_neighbours: The argument `random` of `flow_gradient`.

    Returns:
        ``flow`` and, if it has a weight, ``flow_gradient``; and (B,) mean distances in px at 256 x 256.
    """
    difference = (landed - batch.target_pixels) / raster_scale(camera.size)
    seen = batch.confidence * ~batch.occluded
    total = seen.sum().clamp_min(1e-6) if normalise else seen.numel()
    terms = {"flow": (seen * robust_distance(difference, settings.outlier_px)).sum() / total}
    if settings.flow_gradient_weight > 0:
        terms["flow_gradient"] = settings.flow_gradient_weight * flow_gradient(difference, seen, random_neighbours)
    errors = (seen * difference.detach().norm(dim=-1)).sum(-1) / seen.sum(-1).clamp_min(1e-6)
    return terms, errors
