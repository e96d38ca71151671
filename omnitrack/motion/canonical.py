"""The canonical volume: colour and density of all surfaces of the clip, each represented once."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.gabor import GaborNetwork


def contract(points: Tensor) -> Tensor:
    """Contract all of space into a ball of radius 2: x where |x| <= 1, else (2 - 1/|x|) x / |x|.

    Args:
        points: (..., 3).

    Source:
        Mip-NeRF 360 (CVPR 2022), equation 10.
    """
    length = torch.sqrt((points**2).sum(-1, keepdim=True).clamp_min(1e-12))
    outside = length.clamp_min(1)
    return points * (2 - 1 / outside) / outside


class CanonicalVolume(nn.Module):
    """Colour and density of canonical points: a Gabor network on contracted coordinates.

    Args:
        hidden: Width of the network; 512 in the paper.
        num_layers: Number of its layers; 3 in the paper.

    Source:
        OmniMotion (ICCV 2023), F_theta.
    """

    def __init__(self, hidden: int, num_layers: int) -> None:
        super().__init__()
        self.network = GaborNetwork(3, hidden, num_layers, 4, alpha=3.0)

    def forward(self, canonical: Tensor) -> tuple[Tensor, Tensor]:
        """Density (P,) >= 0 and colour (P, 3) in [0, 1] of canonical points (P, 3)."""
        out = self.network(contract(canonical))
        return F.softplus(out[..., 3] - 1), torch.sigmoid(out[..., :3])
