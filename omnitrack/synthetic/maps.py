"""Maps of the plane with exact inverses: where a point of a layer is drawn, and which point is drawn at a pixel.

Convention:
    Points (..., 2) are (x, y), x right, y down. `forward` goes from layer coordinates towards pixels. Angles are in
    radians, positive from x towards y, which looks clockwise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.floating]


class Map(Protocol):
    """An invertible map of the plane."""

    def forward(self, points: Points) -> Points:
        """Map points (..., 2)."""

    def inverse(self, points: Points) -> Points:
        """Return the points (..., 2) that `forward` maps to `points`."""


@dataclass(frozen=True)
class Similarity:
    """Rotate by `angle` and scale by `zoom` about `pivot`, then move the pivot to `(x, y)`."""

    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    zoom: float = 1.0
    pivot: tuple[float, float] = (0.0, 0.0)

    def forward(self, points: Points) -> Points:
        cos, sin = self.zoom * math.cos(self.angle), self.zoom * math.sin(self.angle)
        u, v = points[..., 0] - self.pivot[0], points[..., 1] - self.pivot[1]
        return np.stack([cos * u - sin * v + self.x, sin * u + cos * v + self.y], -1)

    def inverse(self, points: Points) -> Points:
        cos, sin = math.cos(self.angle) / self.zoom, math.sin(self.angle) / self.zoom
        u, v = points[..., 0] - self.x, points[..., 1] - self.y
        return np.stack([cos * u + sin * v + self.pivot[0], cos * v - sin * u + self.pivot[1]], -1)


@dataclass(frozen=True)
class Ripple:
    """A smooth bend: one coordinate moves by ``amplitude * sin(2 pi * other / wavelength + phase)``.

    The coordinate that sets the displacement is not displaced itself, so the inverse subtracts the same amount.

    Attributes:
        amplitude: Largest displacement in pixels.
        wavelength: Pixels per period along the other coordinate.
        phase: Radians.
        axis: The coordinate that moves, 0 for x and 1 for y.
    """

    amplitude: float
    wavelength: float
    phase: float = 0.0
    axis: int = 1

    def forward(self, points: Points) -> Points:
        return self._shift(points, self.amplitude)

    def inverse(self, points: Points) -> Points:
        return self._shift(points, -self.amplitude)

    def _shift(self, points: Points, amplitude: float) -> Points:
        shifted = points.copy()
        other = points[..., 1 - self.axis]
        shifted[..., self.axis] += amplitude * np.sin(other * (2 * math.pi / self.wavelength) + self.phase)
        return shifted


@dataclass(frozen=True)
class Chain:
    """Several maps applied one after another, in the order of the tuple."""

    maps: tuple[Map, ...]

    def forward(self, points: Points) -> Points:
        for step in self.maps:
            points = step.forward(points)
        return points

    def inverse(self, points: Points) -> Points:
        for step in reversed(self.maps):
            points = step.inverse(points)
        return points
