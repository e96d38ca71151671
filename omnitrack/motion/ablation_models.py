"""Models that replace the invertible network in OmniMotion's ablations: two networks, and one for flow alone.

They show what the bijection and the volume contribute.

Source:
    OmniMotion (ICCV 2023), ablations "no invertible" and "plain 2D".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from omnitrack.motion.conditioner import Conditioner
from omnitrack.motion.encoding import PositionalEncoding, TimeCodes, TimeFeatures
from omnitrack.motion.field import FieldTracks
from omnitrack.motion.frame_map import FrameMap
from omnitrack.motion.geometry import Camera
from omnitrack.motion.warp import Warp

FREQUENCIES = 4
CHUNK_POINTS = 1 << 16


class Displacement(nn.Module):
    """A network that displaces positions; it starts at zero, so that nothing moves.

    Args:
        dimensions: Number of coordinates of a position.
        time_width: Width of the time features.
        hidden: Widths of the layers.
    """

    def __init__(self, dimensions: int, time_width: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.conditioner = Conditioner(PositionalEncoding(dimensions, FREQUENCIES), time_width, hidden)
        self.last = nn.Linear(hidden[-1], dimensions)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, places: Tensor, column: Tensor) -> Tensor:
        """Displaced positions (P, dimensions); `column` (P, n) is the time part of their first layer."""
        moved: Tensor = places + self.last(self.conditioner(places, column))
        return moved


class TwoNetworkWarp(Warp):
    """A `Warp` whose inverse is a separate network: only the loss makes the two inverse to each other.

    Args:
        frame_map: The maps before the networks.
        time: Features of the frames.
        hidden: Widths of each network's layers.
    """

    def __init__(self, frame_map: FrameMap, time: TimeFeatures | TimeCodes, hidden: tuple[int, ...]) -> None:
        super().__init__(frame_map, time)
        self.there = Displacement(3, time.width, hidden)
        self.back = Displacement(3, time.width, hidden)

    def time_columns(self) -> TwoNetworks:
        """See `Warp.time_columns`."""
        features = self.time()
        columns = [network.conditioner.column(features) for network in (self.there, self.back)]
        return TwoNetworks(self.there, self.back, *columns)


@dataclass(frozen=True)
class TwoNetworks:
    """The networks of a `TwoNetworkWarp` in both directions, each with the columns (T, n) of all frames."""

    there: Displacement
    back: Displacement
    there_columns: Tensor
    back_columns: Tensor

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """See `omnitrack.motion.warp.TimeColumns.carry`."""
        network, columns = (self.back, self.back_columns) if inverse else (self.there, self.there_columns)
        return list(network(torch.stack(points, -1), columns[frames]).unbind(-1))


class PlanarField(nn.Module):
    """Flow between any two frames as a network of (pixel, time, time): no volume, no depth, no occlusion order.

    Args:
        camera: Converts pixels to local coordinates.
        time: Features of the frames.
        hidden: Widths of the layers.
    """

    def __init__(self, camera: Camera, time: TimeFeatures | TimeCodes, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.camera, self.time = camera, time
        self.network = Displacement(2, 2 * time.width, hidden)

    @property
    def num_frames(self) -> int:
        return self.time.num_frames

    def forward(self, pixels: Tensor, sources: Tensor, targets: Tensor) -> Tensor:
        """Map pixels (P, 2) of frames (P,) to pixels (P, 2) of other frames (P,)."""
        features = self.time()
        column = self.network.conditioner.column(torch.cat([features[sources], features[targets]], -1))
        zeros = torch.zeros_like(pixels[:, 0])
        moved = self.network(self.camera.lift(pixels, zeros)[:, :2], column)
        return self.camera.project(torch.cat([moved, zeros[:, None]], -1))

    @torch.no_grad()
    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """See `omnitrack.motion.field.MotionField.track`: every point within the frame counts as visible."""
        where = torch.as_tensor(np.asarray(pixels), dtype=torch.float32, device=next(self.parameters()).device)
        moved = where.new_empty(len(where), len(targets), 2)
        for part, landed in zip(where.split(CHUNK_POINTS), moved.split(CHUNK_POINTS), strict=True):
            here = torch.full((len(part),), source, device=part.device)
            for column, target in enumerate(targets):
                landed[:, column] = self(part, here, torch.full_like(here, target))
        seen = self.camera.sees(moved)
        return FieldTracks(moved.cpu().numpy(), torch.zeros_like(moved[..., 0]).cpu().numpy(), seen.cpu().numpy())

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.depth_map`: the depth is zero everywhere."""
        width, height = self.camera.size
        return np.zeros((height, width), np.float32)

    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        """See `omnitrack.motion.field.MotionField.canonical_map`: here the position in the first frame."""
        width, height = self.camera.size
        pixels = self.camera.pixels(torch.device("cpu")).numpy()
        places = torch.from_numpy(self.track(frame, pixels, [0]).pixels[:, 0])
        local = self.camera.lift(places, torch.zeros(len(places)))
        return np.asarray(local.view(height, width, 3).numpy(), np.float32)
