"""Terms that the methods share. All are in pixels of the 256 x 256 raster, so that weights serve every frame size."""

from __future__ import annotations

import torch
from torch import Tensor


def robust_distance(difference: Tensor, outlier_px: float) -> Tensor:
    """How far (..., 2) differences d are from zero, with growing distances growing in importance ever more slowly.

        c log(1 + |d| / c)

    Args:
        difference: (..., 2).
        outlier_px: c: the distance beyond which the pull falls. 0 takes the published (|dx| + |dy|) / 2 instead.
    """
    if outlier_px == 0:
        return difference.abs().mean(-1)
    distance = torch.sqrt((difference**2).sum(-1) + 1e-6)
    return outlier_px * torch.log1p(distance / outlier_px)


def flow_gradient(difference: Tensor, weight: Tensor, random: bool = False) -> Tensor:
    """Mean error of the flow's spatial differences, between the first half of the anchors and their grid neighbours.

    Args:
        difference: (2 B, M, 2) predictions less correspondences, the second half those of the neighbours.
        weight: (2 B, M) of each correspondence.
        random: Take differences of consecutive, unrelated anchors instead, as the published codes do.
    """
    half = len(difference) // 2
    first, second = (slice(1, None), slice(None, -1)) if random else (slice(None, half), slice(half, None))
    both = weight[first] * weight[second]
    error = (difference[first] - difference[second]).abs().mean(-1)
    return (both * error).sum() / both.sum().clamp_min(1e-6)
