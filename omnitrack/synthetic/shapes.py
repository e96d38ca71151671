"""Analytic outlines in layer coordinates: which points belong to a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from omnitrack.synthetic.maps import Points


class Shape(Protocol):
    """A set of points."""

    @property
    def radius(self) -> float:
        """Radius in pixels of a disc about the origin that contains the shape; infinite if there is none."""

    def contains(self, points: Points) -> np.ndarray:
        """Return whether each of the points (..., 2) is inside, as (...) bool."""


@dataclass(frozen=True)
class Plane:
    """Every point: a background."""

    radius: float = float("inf")

    def contains(self, points: Points) -> np.ndarray:
        return np.ones(points.shape[:-1], bool)


@dataclass(frozen=True)
class Ellipse:
    """The ellipse about `(x, y)` with half axes `a` and `b` in pixels."""

    a: float
    b: float
    x: float = 0.0
    y: float = 0.0

    @property
    def radius(self) -> float:
        return float(np.hypot(self.x, self.y) + max(self.a, self.b))

    def contains(self, points: Points) -> np.ndarray:
        return ((points[..., 0] - self.x) / self.a) ** 2 + ((points[..., 1] - self.y) / self.b) ** 2 <= 1


@dataclass(frozen=True)
class Polygon:
    """A convex polygon, corners in clockwise order as seen on screen (x right, y down)."""

    corners: tuple[tuple[float, float], ...]

    @property
    def radius(self) -> float:
        return float(max(np.hypot(x, y) for x, y in self.corners))

    def contains(self, points: Points) -> np.ndarray:
        inside = np.ones(points.shape[:-1], bool)
        for (ax, ay), (bx, by) in zip(self.corners, self.corners[1:] + self.corners[:1], strict=True):
            inside &= (bx - ax) * (points[..., 1] - ay) >= (by - ay) * (points[..., 0] - ax)
        return inside


@dataclass(frozen=True)
class Union:
    """The union of several shapes."""

    shapes: tuple[Shape, ...]

    @property
    def radius(self) -> float:
        return max(shape.radius for shape in self.shapes)

    def contains(self, points: Points) -> np.ndarray:
        return np.any([shape.contains(points) for shape in self.shapes], axis=0)


def rectangle(left: float, top: float, right: float, bottom: float) -> Polygon:
    """The axis-aligned rectangle between two corners."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))
