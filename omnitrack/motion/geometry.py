"""Conversion of pixels to local 3D points and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

FIELD_OF_VIEW_DEGREES = 40.0  # horizontal, of the pinhole camera (CaDeX++)


@dataclass(frozen=True)
class Camera:
    """The mapping between a frame's pixels and its local 3D points.

    Local x and y are measured from the centre of the frame, in units of half its longer side, so that the frame fits
    in [-1, 1]. Orthographic: (x, y, depth). Perspective: (x, y) is scaled by distance / focal length, with the focal
    length of a 40 degree horizontal field of view; depth is then relative to a plane at distance `plane_distance` from
    the pinhole, where both projections agree on the scale of x and y.

    Convention:
        Pixels are (x, y), x right, y down, centres at integers. Depth grows away from the viewer.

    Attributes:
        size: (width, height) in pixels.
        perspective: Pinhole camera, not orthographic.

    Example:
        >>> camera = Camera((64, 48))
        >>> points = camera.lift(torch.tensor([[31.5, 23.5], [63.5, 23.5]]), torch.tensor([0.0, 0.5]))
        >>> points.tolist()
        [[0.0, 0.0, 0.0], [1.0, 0.0, 0.5]]
        >>> camera.project(points).tolist()
        [[31.5, 23.5], [63.5, 23.5]]
    """

    size: tuple[int, int]
    perspective: bool = False

    @property
    def half_extent_px(self) -> float:
        """Half of the longer side, in pixels: one local unit."""
        return max(self.size) / 2.0

    @property
    def plane_distance(self) -> float:
        """Distance from the pinhole at which one local unit is `half_extent_px` pixels."""
        return self.size[0] / (2 * math.tan(math.radians(FIELD_OF_VIEW_DEGREES / 2))) / self.half_extent_px

    def lift(self, pixels: Tensor, depth: Tensor) -> Tensor:
        """Convert pixels (..., 2) with depths (...) to local points (..., 3)."""
        xy = (pixels - self._centre(pixels)) / self.half_extent_px
        if self.perspective:
            xy = xy * (1 + depth / self.plane_distance).unsqueeze(-1)
        return torch.cat([xy, depth.unsqueeze(-1)], -1)

    def project(self, points: Tensor) -> Tensor:
        """Project local points (..., 3) to pixels (..., 2); points behind the pinhole count as just in front of it."""
        xy = points[..., :2]
        if self.perspective:
            xy = xy / (1 + points[..., 2:] / self.plane_distance).clamp_min(1e-2)
        return xy * self.half_extent_px + self._centre(points)

    def sees(self, pixels: Tensor) -> Tensor:
        """Which pixels (..., 2) are within the frame, (...) bool."""
        width, height = self.size
        x, y = pixels.unbind(-1)
        return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)

    def pixels(self, device: torch.device) -> Tensor:
        """All pixels of a frame, row by row, (H * W, 2)."""
        width, height = self.size
        rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        return torch.stack([x, y], -1).flatten(0, 1).float()

    def _centre(self, like: Tensor) -> Tensor:
        return _frame_centre(self.size, like.device, like.dtype)


@lru_cache
def _frame_centre(size: tuple[int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The centre (2,) in pixels; cached on the device, because a copy in every step would block the host."""
    return torch.tensor([(size[0] - 1) / 2, (size[1] - 1) / 2], dtype=dtype, device=device)
