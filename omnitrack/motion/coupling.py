"""One invertible layer: a monotone map of one coordinate, whose parameters depend on the other two and the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from omnitrack.motion import affine, spline
from omnitrack.motion.conditioner import Conditioner


@dataclass(frozen=True)
class ScalarMap:
    """A monotone map of the line with unconstrained parameters; zeros give the identity.

    Attributes:
        num_parameters: Number of parameters, n.
        evaluate: f(x) from parameters (P, n) and x (P,).
        invert: The x with f(x) = y, from parameters (P, n) and y (P,).
    """

    num_parameters: int
    evaluate: Callable[[Tensor, Tensor], Tensor]
    invert: Callable[[Tensor, Tensor], Tensor]


SCALAR_MAPS = {
    "spline": ScalarMap(spline.NUM_PARAMETERS, spline.evaluate, spline.invert),
    "affine": ScalarMap(
        affine.NUM_PARAMETERS,
        lambda raw, x: affine.evaluate(affine.affine_from_parameters(raw), x),
        lambda raw, y: affine.invert(affine.affine_from_parameters(raw), y),
    ),
}


class Coupling(nn.Module):
    """Maps coordinate `changed` of points by a monotone map, conditioned on the other two and the frame.

    The last layer starts at zero, so the coupling starts as the identity.

    Args:
        changed: The coordinate to map: 0, 1 or 2.
        conditioner: Turns the other two coordinates and the time into features.
        scalar_map: The map whose parameters come from these features, a value of `SCALAR_MAPS`.

    Source:
        Couplings with an affine map: OmniMotion (ICCV 2023), after Real-NVP; with a spline: CaDeX++ (ECCV 2024).
    """

    def __init__(self, changed: int, conditioner: Conditioner, scalar_map: ScalarMap) -> None:
        super().__init__()
        self.changed = changed
        self.kept = [c for c in range(3) if c != changed]
        self.conditioner = conditioner
        self.scalar_map = scalar_map
        self.last = nn.Linear(conditioner.width, scalar_map.num_parameters)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, points: list[Tensor], time_column: Tensor) -> list[Tensor]:
        """Map points, three coordinates (P,), towards the canonical volume.

        Args:
            points: The coordinates x, y, z.
            time_column: (P, ...) `column` of the points' frames.
        """
        return self._replaced(points, self.scalar_map.evaluate(self._raw(points, time_column), points[self.changed]))

    def inverse(self, points: list[Tensor], time_column: Tensor) -> list[Tensor]:
        """Undo `forward`."""
        return self._replaced(points, self.scalar_map.invert(self._raw(points, time_column), points[self.changed]))

    def column(self, time_features: Tensor) -> Tensor:
        """The time part of the first layer, (T, ...) from features (T, width): once per frame, not per point."""
        return self.conditioner.column(time_features)

    def _raw(self, points: list[Tensor], time_column: Tensor) -> Tensor:
        raw: Tensor = self.last(self.conditioner(torch.stack([points[c] for c in self.kept], -1), time_column))
        return raw

    def _replaced(self, points: list[Tensor], value: Tensor) -> list[Tensor]:
        return [value if c == self.changed else points[c] for c in range(3)]
