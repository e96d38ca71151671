"""Learned features of place and of time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FeaturePlanes(nn.Module):
    """Features on square grids of several resolutions, read bilinearly and concatenated.

    Args:
        resolutions: Side of each grid.
        channels: Features per grid, a multiple of four.
        scale: Standard deviation at the start.
    """

    # torch reads a grid in parallel over its batch only: channels are split over a batch of four
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

    Lengths are 1/20, 5/20 and 13/20 of the number of frames, at least two, so that neighbouring frames share
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
