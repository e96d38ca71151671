"""The bijection between each frame's local volume and the canonical volume."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.motion.coupling import Coupling
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.frame_map import FrameMap
from omnitrack.motion.fused.fused import fused


class TimeColumns(Protocol):
    """The time-dependent part of a warp's layers, computed once and used for any number of points."""

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """Map points, three coordinates (P,), of frames (P,) through the layers, or through their inverses."""


class Warp(nn.Module, ABC):
    """Frame to canonical and back: an affine map of x and y per frame, then layers conditioned on time.

    Args:
        frame_map: The affine maps.
        time: Features of the frames.
    """

    def __init__(self, frame_map: FrameMap, time: TimeFeatures | TimeCodes) -> None:
        super().__init__()
        self.frame_map = frame_map
        self.time = time

    @abstractmethod
    def time_columns(self) -> TimeColumns:
        """Compute the time-dependent part of the layers, once for any number of points."""

    def frame_matrices(self, depths: Tensor) -> Tensor:
        """The affine maps of all frames at depths (K,), (T, K, 2, 3)."""
        return self.frame_map.table(depths)

    def forward(self, points: Tensor, frames: Tensor, columns: TimeColumns, matrices: Tensor | None = None) -> Tensor:
        """Map local points (P, 3) of frames (P,) to canonical points (P, 3).

        Args:
            points: The points.
            frames: Their frames.
            columns: From `time_columns`.
            matrices: (P, 2, 3) the points' frame maps if they are known already; None computes them by `frame_map`.
        """
        moved = self.frame_map(list(points.unbind(-1)), frames, matrices)
        return torch.stack(columns.carry(moved, frames), -1)

    def inverse(self, canonical: Tensor, frames: Tensor, columns: TimeColumns) -> Tensor:
        """Map canonical points (P, 3) to local points (P, 3) of frames (P,)."""
        moved = columns.carry(list(canonical.unbind(-1)), frames, inverse=True)
        return torch.stack(self.frame_map.inverse(moved, frames), -1)


class CanonicalWarp(Warp):
    """A bijection: its layers are couplings.

    Args:
        frame_map: The affine maps.
        time: Features of the frames.
        layers: The couplings, in the order of `forward`.
    """

    def __init__(self, frame_map: FrameMap, time: TimeFeatures | TimeCodes, layers: Sequence[Coupling]) -> None:
        super().__init__(frame_map, time)
        self.layers: list[Coupling] = nn.ModuleList(layers)  # type: ignore[assignment]

    def time_columns(self) -> TimeColumns:
        """See `Warp.time_columns`."""
        features = self.time()
        columns = [layer.column(features) for layer in self.layers]
        return fused(self.layers, columns) or PlainLayers(self.layers, columns)


@dataclass(frozen=True)
class PlainLayers:
    """Layers applied one after the other in torch: the reference for `FusedLayers`.

    Attributes:
        layers: L couplings.
        columns: L arrays (T, n), `Coupling.column` of all frames.
    """

    layers: Sequence[Coupling]
    columns: Sequence[Tensor]

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """See `TimeColumns.carry`."""
        order = range(len(self.columns))
        for index in reversed(order) if inverse else order:
            layer, column = self.layers[index], F.embedding(frames, self.columns[index])
            points = layer.inverse(points, column) if inverse else layer(points, column)
        return points
