"""The bijection between each frame's local volume and the canonical one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.coupling import Coupling
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.frame_map import FrameAffine, FrameNetwork


class CanonicalWarp(nn.Module):
    """Frame to canonical and back: an affine map of x and y per frame, then coupling layers.

    Args:
        frame_map: The affine maps.
        time: Features of the frames.
        layers: The couplings, in the order of `forward`.
    """

    def __init__(
        self, frame_map: FrameAffine | FrameNetwork, time: TimeFeatures | TimeCodes, layers: Sequence[Coupling]
    ) -> None:
        super().__init__()
        self.frame_map = frame_map
        self.time = time
        self.layers: list[Coupling] = nn.ModuleList(layers)  # type: ignore[assignment]

    def time_columns(self) -> list[Tensor]:
        """What each layer needs of the time, (T, n) per layer: compute once, use for any number of points."""
        features = self.time()
        return [layer.column(features) for layer in self.layers]

    def forward(self, points: Tensor, frames: Tensor, columns: list[Tensor], matrices: Tensor | None = None) -> Tensor:
        """Local points (P, 3) of frames (P,) to canonical points (P, 3).

        Args:
            points: The points.
            frames: Their frames.
            columns: `time_columns`.
            matrices: (P, 2, 3) the points' frame maps where they are known already; None asks `frame_map`.
        """
        coordinates = list(points.unbind(-1))
        if matrices is None:
            matrices = self.frame_map.matrices(frames, coordinates[2])
        moved = apply_affine(matrices, coordinates)
        for layer, column in zip(self.layers, columns, strict=True):
            moved = layer(moved, F.embedding(frames, column))
        return torch.stack(moved, -1)

    def inverse(self, canonical: Tensor, frames: Tensor, columns: list[Tensor]) -> Tensor:
        """Canonical points (P, 3) to local points (P, 3) of frames (P,)."""
        moved = list(canonical.unbind(-1))
        for layer, column in zip(reversed(self.layers), reversed(columns), strict=True):
            moved = layer.inverse(moved, F.embedding(frames, column))
        return torch.stack(apply_affine(self.frame_map.inverse_matrices(frames, moved[2]), moved), -1)


def apply_affine(matrices: Tensor, points: list[Tensor]) -> list[Tensor]:
    """Affine maps (P, 2, 3) on the x and y of points, three coordinates (P,)."""
    x, y, z = points
    a, b, c, d, e, f = matrices.flatten(1).unbind(-1)
    return [a * x + b * y + c, d * x + e * y + f, z]
