"""The bijection between each frame's local volume and the canonical one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.coupling import Coupling
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.frame_map import FrameMap


class CanonicalWarp(nn.Module):
    """Frame to canonical and back: an affine map of x and y per frame, then coupling layers.

    Args:
        frame_map: The affine maps.
        time: Features of the frames.
        layers: The couplings, in the order of `forward`.
    """

    def __init__(self, frame_map: FrameMap, time: TimeFeatures | TimeCodes, layers: Sequence[Coupling]) -> None:
        super().__init__()
        self.frame_map = frame_map
        self.time = time
        self.layers: list[Coupling] = nn.ModuleList(layers)  # type: ignore[assignment]

    def time_columns(self) -> list[Tensor]:
        """What each layer needs of the time, (T, n) per layer: compute once, use for any number of points."""
        features = self.time()
        return [layer.column(features) for layer in self.layers]

    def frame_matrices(self, depths: Tensor) -> Tensor:
        """The maps before the layers at depths (K,) of all frames, (T, K, 2, 3)."""
        return self.frame_map.table(depths)

    def forward(self, points: Tensor, frames: Tensor, columns: list[Tensor], matrices: Tensor | None = None) -> Tensor:
        """Local points (P, 3) of frames (P,) to canonical points (P, 3).

        Args:
            points: The points.
            frames: Their frames.
            columns: `time_columns`.
            matrices: (P, 2, 3) the points' frame maps where they are known already; None asks `frame_map`.
        """
        moved = self.frame_map(list(points.unbind(-1)), frames, matrices)
        for layer, column in zip(self.layers, columns, strict=True):
            moved = layer(moved, F.embedding(frames, column))
        return torch.stack(moved, -1)

    def inverse(self, canonical: Tensor, frames: Tensor, columns: list[Tensor]) -> Tensor:
        """Canonical points (P, 3) to local points (P, 3) of frames (P,)."""
        moved = list(canonical.unbind(-1))
        for layer, column in zip(reversed(self.layers), reversed(columns), strict=True):
            moved = layer.inverse(moved, F.embedding(frames, column))
        return torch.stack(self.frame_map.inverse(moved, frames), -1)
