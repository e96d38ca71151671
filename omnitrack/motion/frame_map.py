"""What comes before the couplings: one affine map of x and y per frame, fixed or learned."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.encoding import PositionalEncoding


class FrameAffine(nn.Module):
    """A fixed affine map per frame: the camera's motion, or nothing.

    Args:
        affine: (T, 2, 3) maps of local (x, y, 1) to canonical (x, y), in each frame.
    """

    affine: Tensor
    affine_inverse: Tensor

    def __init__(self, affine: Tensor) -> None:
        super().__init__()
        self.register_buffer("affine", affine)
        self.register_buffer("affine_inverse", invert_affine(affine))

    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The maps (P, 2, 3) of points of frames (P,); their depth (P,) does not matter here."""
        return F.embedding(frames, self.affine.flatten(1)).view(-1, 2, 3)

    def inverse_matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The inverses of `matrices`."""
        return F.embedding(frames, self.affine_inverse.flatten(1)).view(-1, 2, 3)


class FrameNetwork(nn.Module):
    """An affine map that a network makes of the time and the depth; x and y change, depth does not.

    The five outputs are an angle, two log scales and two shifts. The last layer starts at zero: the identity.

    Args:
        num_frames: T.
        hidden: Width of the layers.
        num_layers: Linear layers; the paper means 2, the published code has 8 by a misnamed argument.

    Source:
        OmniMotion (ICCV 2023), published code.
    """

    times: Tensor
    FREQUENCIES = 4

    def __init__(self, num_frames: int, hidden: int = 256, num_layers: int = 2) -> None:
        super().__init__()
        self.register_buffer("times", torch.arange(1, num_frames + 1) / num_frames)
        self.encoding = PositionalEncoding(1, self.FREQUENCIES)
        widths = [self.encoding.width + 1, *[hidden] * (num_layers - 1), 5]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))
        nn.init.zeros_(self.layers[-1].weight)  # type: ignore[arg-type]
        nn.init.zeros_(self.layers[-1].bias)  # type: ignore[arg-type]

    def matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The maps (P, 2, 3) of points of frames (P,) at depths (P,)."""
        hidden = torch.cat([self.encoding(depth[:, None]), self.times[frames][:, None]], -1)
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        angle, log_a, x, log_b, y = self.layers[-1](hidden).unbind(-1)
        cos, sin, a, b = torch.cos(angle), torch.sin(angle), torch.exp(log_a), torch.exp(log_b)
        return torch.stack([cos * a, -sin * a, x, sin * b, cos * b, y], -1).view(-1, 2, 3)

    def inverse_matrices(self, frames: Tensor, depth: Tensor) -> Tensor:
        """The inverses of `matrices`."""
        return invert_affine(self.matrices(frames, depth))


def invert_affine(affine: Tensor) -> Tensor:
    """Inverses of affine maps (..., 2, 3)."""
    a, b, c, d, e, f = affine.flatten(-2).unbind(-1)
    inverse = torch.stack([e, -b, b * f - c * e, -d, a, c * d - a * f], -1) / (a * e - b * d).unsqueeze(-1)
    return inverse.view(affine.shape)
