"""One invertible layer: a coordinate is mapped monotonically, by parameters that the other two and the time decide."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.encoding import FeaturePlanes
from omnitrack.motion.spline import NUM_PARAMETERS, Spline, evaluate, invert, spline_from_parameters


class SplineCoupling(nn.Module):
    """Maps coordinate `changed` of points by a monotone spline conditioned on the other two and the frame.

    The spline's parameters come from a small network on features read from planes at tanh(the other two) and on the
    frame's time features; the time's part of the first layer is computed once per frame, not per point. The last
    layer starts at zero, so the layer starts as the identity.

    Args:
        changed: The coordinate to map: 0, 1 or 2.
        resolutions: Sides of the feature planes.
        channels: Features per plane.
        time_width: Width of the time features.
        hidden: Widths of the hidden layers.

    Source:
        CaDeX++ (ECCV 2024), section 3.
    """

    def __init__(
        self, changed: int, resolutions: tuple[int, ...], channels: int, time_width: int, hidden: tuple[int, ...]
    ) -> None:
        super().__init__()
        self.changed = changed
        self.kept = [c for c in range(3) if c != changed]
        self.planes = FeaturePlanes(resolutions, channels)
        self.from_time = nn.Linear(time_width, hidden[0])
        self.from_place = nn.Linear(self.planes.width, hidden[0], bias=False)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(hidden))
        self.last = nn.Linear(hidden[-1], NUM_PARAMETERS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, points: list[Tensor], time_column: Tensor) -> list[Tensor]:
        """Map points, three coordinates (P,), towards the canonical volume.

        Args:
            points: The coordinates x, y, z.
            time_column: (P, hidden[0]) `column` of the points' frames.
        """
        return self._replaced(points, evaluate(self._spline(points, time_column), points[self.changed]))

    def inverse(self, points: list[Tensor], time_column: Tensor) -> list[Tensor]:
        """Undo `forward`."""
        return self._replaced(points, invert(self._spline(points, time_column), points[self.changed]))

    def column(self, time_features: Tensor) -> Tensor:
        """The time's part of the first layer, (T, hidden[0]) from features (T, time_width)."""
        column: Tensor = self.from_time(time_features)
        return column

    def _spline(self, points: list[Tensor], time_column: Tensor) -> Spline:
        place = torch.tanh(torch.stack([points[c] for c in self.kept], -1))
        hidden = F.leaky_relu(self.from_place(self.planes(place)) + time_column)
        for layer in self.layers:
            hidden = F.leaky_relu(layer(hidden))
        return spline_from_parameters(self.last(hidden))

    def _replaced(self, points: list[Tensor], value: Tensor) -> list[Tensor]:
        return [value if c == self.changed else points[c] for c in range(3)]
