"""Terms that the methods share. All are in pixels of the 256 x 256 raster, so that weights serve every frame size."""

from __future__ import annotations

import torch
from torch import Tensor

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
