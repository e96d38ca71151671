"""Features of position and of time."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.gabor import GaborNetwork


class PositionalEncoding(nn.Module):
    """Coordinates with their sines and cosines at octaves: x, sin(2^k pi x), cos(2^k pi x), k = 0..n - 1.

    Args:
        dimensions: Number of coordinates of a point.
        frequencies: n.
    """

    octaves: Tensor

    def __init__(self, dimensions: int, frequencies: int) -> None:
        super().__init__()
        self.register_buffer("octaves", math.pi * 2.0 ** torch.arange(frequencies), persistent=False)
        self.width = dimensions * (1 + 2 * frequencies)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Coordinates (P, dimensions) to features (P, width)."""
        angles = (coordinates[..., None] * self.octaves).flatten(-2)
        return torch.cat([coordinates, torch.sin(angles), torch.cos(angles)], -1)


class FeaturePlanes(nn.Module):
    """Features on square grids of several resolutions, read bilinearly and concatenated.

    Args:
        resolutions: Side of each grid.
        channels: Features per grid, a multiple of four.
        scale: Initial standard deviation.
    """

    # torch samples a grid in parallel over its batch only, so the channels are split over a batch of four
    GROUPS = 4

    def __init__(self, resolutions: tuple[int, ...], channels: int, scale: float = 1e-4) -> None:
        super().__init__()
        shapes = [(self.GROUPS, channels // self.GROUPS, r, r) for r in resolutions]
        self.planes = nn.ParameterList(nn.Parameter(torch.randn(shape) * scale) for shape in shapes)
        self.width = channels * len(resolutions)

    def forward(self, coordinates: Tensor) -> Tensor:
        """Coordinates (P, 2) in [-1, 1] to features (P, width)."""
        grid = coordinates.expand(self.GROUPS, 1, -1, -1)
        read = [F.grid_sample(plane, grid, align_corners=True).flatten(0, 2) for plane in self.planes]
        return torch.cat(read).t()


class TimeFeatures(nn.Module):
    """Features of each frame on one-dimensional grids of several lengths, read linearly.

    The lengths are 1/20, 5/20 and 13/20 of the number of frames, but at least two, so that neighbouring frames share
    features at three scales however short the clip is.

    Args:
        num_frames: T.
        channels: Features per grid.

    Source:
        CaDeX++ (ECCV 2024), temporal feature grids.
    """

    SHARES = (1 / 20, 5 / 20, 13 / 20)

    def __init__(self, num_frames: int, channels: int, scale: float = 1e-3) -> None:
        super().__init__()
        lengths = [max(2, round(num_frames * share)) for share in self.SHARES]
        self.grids = nn.ParameterList(nn.Parameter(torch.randn(1, channels, n) * scale) for n in lengths)
        self.num_frames = num_frames
        self.width = channels * len(lengths)

    def forward(self) -> Tensor:
        """Features of all frames, (T, width)."""
        read = [F.interpolate(g, size=self.num_frames, mode="linear", align_corners=True)[0] for g in self.grids]
        return torch.cat(read).t()


class TimeCodes(nn.Module):
    """A latent code per frame, from a Gabor network over time.

    Args:
        num_frames: T; frame i is at time (i + 1) / T.
        hidden: Width of the network.
        width: Width of a code.

    Source:
        OmniMotion (ICCV 2023): 256 wide, two layers, codes of 128 numbers.
    """

    times: Tensor

    def __init__(self, num_frames: int, hidden: int, width: int) -> None:
        super().__init__()
        self.register_buffer("times", (torch.arange(1, num_frames + 1) / num_frames)[:, None])
        self.network = GaborNetwork(1, hidden, 2, width, alpha=4.5)
        self.num_frames = num_frames
        self.width = width

    def forward(self) -> Tensor:
        """Codes of all frames, (T, width)."""
        codes: Tensor = self.network(self.times)
        return codes
