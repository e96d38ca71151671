"""The affine map of x and y per frame that precedes the couplings, fixed or learned."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.encoding import PositionalEncoding


class FrameMap(nn.Module, ABC):
    """An affine map of x and y that depends on the frame and possibly on the depth, and leaves the depth unchanged.

    Args:
        num_frames: T.
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    @abstractmethod
    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The maps (P, 2, 3) of local (x, y, 1) to canonical (x, y) for points of frames (P,) at depths (P,)."""

    def inverse_matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The inverses of `matrices`."""
        return invert_affine(self.matrices(frames, depth))

    def table(self, depths: Tensor) -> Tensor:
        """The maps of all frames at depths (K,), (T, K, 2, 3): for rays that share their depths."""
        frames = torch.arange(self.num_frames, device=depths.device).repeat_interleave(len(depths))
        return self.matrices(frames, depths.repeat(self.num_frames)).view(self.num_frames, -1, 2, 3)

    def forward(self, points: list[Tensor], frames: Tensor, matrices: Tensor | None = None) -> list[Tensor]:
        """Map points, three coordinates (P,), of frames (P,); `matrices` (P, 2, 3) if they are known already."""
        return _apply(self.matrices(frames, points[2]) if matrices is None else matrices, points)

    def inverse(self, points: list[Tensor], frames: Tensor) -> list[Tensor]:
        """Undo `forward`."""
        return _apply(self.inverse_matrices(frames, points[2]), points)


class FrameAffine(FrameMap):
    """A fixed map per frame: the camera's motion, or the identity.

    Args:
        affine: (T, 2, 3) maps of local (x, y, 1) to canonical (x, y).
    """

    affine: Tensor
    affine_inverse: Tensor

    def __init__(self, affine: Tensor) -> None:
        super().__init__(len(affine))
        self.register_buffer("affine", affine)
        self.register_buffer("affine_inverse", invert_affine(affine))

    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """See `FrameMap.matrices`; the depth is ignored."""
        return F.embedding(frames, self.affine.flatten(1)).view(-1, 2, 3)

    def inverse_matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """See `FrameMap.inverse_matrices`."""
        return F.embedding(frames, self.affine_inverse.flatten(1)).view(-1, 2, 3)


class FrameNetwork(FrameMap):
    """A map that a network computes from the time and the depth.

    The five outputs are an angle, two log scales and two shifts. The last layer starts at zero: the identity.

    Args:
        num_frames: T; frame i is at time (i + 1) / T.
        num_layers: Number of linear layers; the paper means 2, the published code has 8 due to a misnamed argument.
        hidden: Width of the layers.

    Source:
        OmniMotion (ICCV 2023), published code.
    """

    times: Tensor
    FREQUENCIES = 4

    def __init__(self, num_frames: int, num_layers: int = 2, hidden: int = 256) -> None:
        super().__init__(num_frames)
        self.register_buffer("times", torch.arange(1, num_frames + 1) / num_frames)
        self.encoding = PositionalEncoding(1, self.FREQUENCIES)
        widths = [self.encoding.width + 1, *[hidden] * (num_layers - 1), 5]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """See `FrameMap.matrices`."""
        hidden = torch.cat([self.encoding(depth[:, None]), self.times[frames][:, None]], -1)
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        angle, log_a, x, log_b, y = self.layers[-1](hidden).unbind(-1)
        cos, sin, a, b = torch.cos(angle), torch.sin(angle), torch.exp(log_a), torch.exp(log_b)
        return torch.stack([cos * a, -sin * a, x, sin * b, cos * b, y], -1).view(-1, 2, 3)


def invert_affine(affine: Tensor) -> Tensor:
    """Inverses of affine maps (..., 2, 3)."""
    a, b, c, d, e, f = affine.flatten(-2).unbind(-1)
    inverse = torch.stack([e, -b, b * f - c * e, -d, a, c * d - a * f], -1) / (a * e - b * d).unsqueeze(-1)
    return inverse.view(affine.shape)


def _apply(matrices: Tensor, points: list[Tensor]) -> list[Tensor]:
    x, y, z = points
    a, b, c, d, e, f = matrices.flatten(1).unbind(-1)
    return [a * x + b * y + c, d * x + e * y + f, z]
