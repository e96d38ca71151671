"""The bijection between each frame's local volume and the canonical one."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.coupling import SplineCoupling
from omnitrack.motion.encoding import TimeFeatures


class CanonicalWarp(nn.Module):
    """Frame to canonical and back: a fixed affine per frame (the camera), then coupling layers.

    Args:
        camera: (T, 2, 3) affine maps of local (x, y, 1) to canonical (x, y), in each frame; fixed.
        order: Coordinate that each coupling layer changes.
        resolutions: Sides of each layer's feature planes.
        channels: Features per plane.
        time_channels: Features per time grid.
        hidden: Widths of each layer's network.
    """

    camera: Tensor
    camera_inverse: Tensor

    def __init__(
        self,
        camera: Tensor,
        order: tuple[int, ...],
        resolutions: tuple[int, ...],
        channels: int,
        time_channels: int,
        hidden: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.register_buffer("camera", camera)
        self.register_buffer("camera_inverse", _inverse_affine(camera))
        self.time = TimeFeatures(len(camera), time_channels)
        layers = [SplineCoupling(changed, resolutions, channels, self.time.width, hidden) for changed in order]
        self.layers: list[SplineCoupling] = nn.ModuleList(layers)  # type: ignore[assignment]

    def time_columns(self) -> list[Tensor]:
        """What each layer needs of the time, (T, hidden) per layer: compute once, use for any number of points."""
        features = self.time()
        return [layer.column(features) for layer in self.layers]

    def forward(self, points: Tensor, frames: Tensor, columns: list[Tensor]) -> Tensor:
        """Local points (P, 3) of frames (P,) to canonical points (P, 3)."""
        moved = _apply_affine(self.camera, frames, list(points.unbind(-1)))
        for layer, column in zip(self.layers, columns, strict=True):
            moved = layer(moved, F.embedding(frames, column))
        return torch.stack(moved, -1)

    def inverse(self, canonical: Tensor, frames: Tensor, columns: list[Tensor]) -> Tensor:
        """Canonical points (P, 3) to local points (P, 3) of frames (P,)."""
        moved = list(canonical.unbind(-1))
        for layer, column in zip(reversed(self.layers), reversed(columns), strict=True):
            moved = layer.inverse(moved, F.embedding(frames, column))
        return torch.stack(_apply_affine(self.camera_inverse, frames, moved), -1)


def _apply_affine(affine: Tensor, frames: Tensor, points: list[Tensor]) -> list[Tensor]:
    """The affine (T, 2, 3) of each point's frame on its x and y."""
    x, y, z = points
    a, b, c, d, e, f = F.embedding(frames, affine.flatten(1)).unbind(-1)
    return [a * x + b * y + c, d * x + e * y + f, z]


def _inverse_affine(affine: Tensor) -> Tensor:
    linear = torch.linalg.inv(affine[:, :, :2])
    return torch.cat([linear, -linear @ affine[:, :, 2:]], -1)
