"""What every fitted motion field can be asked, whatever method made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FieldTracks:
    """Points of one frame in other frames.

    Attributes:
        pixels: (N, T, 2) float32 positions in pixels of the working frames.
        depth: (N, T) float32 depth of the point itself in each frame; smaller is nearer.
        margin: (N, T) float32 depth of the surface seen there minus that of the point: below zero the point is
            behind it. NaN where the position is off the frame.
    """

    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    margin: NDArray[np.float32]

    def visible(self, tolerance: float) -> NDArray[np.bool_]:
        """(N, T) bool: on the frame and not behind its surface by more than `tolerance`."""
        return np.nan_to_num(self.margin, nan=-np.inf) > -tolerance


class MotionField(Protocol):
    """A fitted field over T frames."""

    @property
    def num_frames(self) -> int:
        """T."""

    @property
    def occlusion_tolerance(self) -> float:
        """Depth by which a point may lie behind the seen surface and still be that surface."""

    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """Where the points at `pixels` (N, 2) of frame `source` are in each of the frames `targets`."""

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """Depth of the surface seen in a frame, (H, W); smaller is nearer."""
