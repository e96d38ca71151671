"""Features of position and time that determine the monotone map of a coupling layer.

The part that depends on the frame alone is hoisted out of the first layer: `column` computes it once per frame.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.encoding import FeaturePlanes, PositionalEncoding


class Conditioner(nn.Module):
    """Features of (position, time): a first layer whose time part is hoisted, then a small network.

    Args:
        encoding: Features of positions, (P, n) from (P, 2); has a `width` n.
        time_width: Width of the time features that the first layer reads.
        hidden: Widths of the layers, each followed by a leaky rectifier.
    """

    def __init__(self, encoding: FeaturePlanes | nn.Module, time_width: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.encoding = encoding
        self.from_time = nn.Linear(time_width, hidden[0])
        self.from_place = nn.Linear(int(encoding.width), hidden[0], bias=False)  # type: ignore[arg-type]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(hidden))
        self.width = hidden[-1]

    def forward(self, place: Tensor, time_column: Tensor) -> Tensor:
        """Features (P, width) of positions (P, 2) whose frames have the columns (P, hidden[0])."""
        hidden = F.leaky_relu(self.from_place(self.encoding(place)) + time_column)
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden))
        return hidden

    def column(self, time_features: Tensor) -> Tensor:
        """The time part of the first layer, (T, hidden[0]) from features (T, n)."""
        column: Tensor = self.from_time(time_features)
        return column


class PlaneConditioner(Conditioner):
    """Features of positions read from planes at their hyperbolic tangent, as in CaDeX++.

    Args:
        resolutions: Sides of the feature planes.
        channels: Features per plane.
        time_width: Width of the time features.
        hidden: Widths of the layers.

    Source:
        CaDeX++ (ECCV 2024), section 3.
    """

    def __init__(self, resolutions: tuple[int, ...], channels: int, time_width: int, hidden: tuple[int, ...]) -> None:
        super().__init__(FeaturePlanes(resolutions, channels), time_width, hidden)

    def forward(self, place: Tensor, time_column: Tensor) -> Tensor:
        """See `Conditioner.forward`."""
        return super().forward(torch.tanh(place), time_column)


class NetworkConditioner(Conditioner):
    """Positions encoded by sines and cosines and one layer, times by a separate code per coupling, as in OmniMotion.

    Args:
        time_width: Width of the frames' latent codes.
        hidden: Widths of the layers; the first is also the width of the encoded position.
        frequencies: Number of frequencies of the positional encoding.

    Source:
        OmniMotion (ICCV 2023), supplement; the code's part of the first layer is hoisted, with the same result.
    """

    def __init__(self, time_width: int, hidden: tuple[int, ...], frequencies: int = 4) -> None:
        encoding = PositionalEncoding(2, frequencies)
        place = nn.Sequential(encoding, nn.Linear(encoding.width, hidden[0]), nn.LeakyReLU())
        place.width = hidden[0]  # type: ignore[assignment]
        super().__init__(place, time_width, hidden)
        self.code = nn.Sequential(nn.Linear(time_width, time_width), nn.LeakyReLU(), nn.Linear(time_width, time_width))

    def column(self, time_features: Tensor) -> Tensor:
        """See `Conditioner.column`."""
        return super().column(self.code(time_features))
