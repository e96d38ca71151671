"""The common interface of fitted motion fields, independent of the method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FieldTracks:
    """Tracks of points of one frame in other frames.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (N, T, 2) float32 positions in pixels of the working frames.
        depth: (N, T) float32 depth of the point itself in each frame; smaller is nearer.
        visible: (N, T) bool: within the frame, and not behind the surface visible at that pixel.
    """

    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    visible: NDArray[np.bool_]


class MotionField(Protocol):
    """A fitted field over T frames."""

    @property
    def num_frames(self) -> int:
        """Number of frames, T."""

    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """Track the points at `pixels` (N, 2) of frame `source` into each of the frames `targets`."""

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """Depth of the visible surface of a frame, (H, W); smaller is nearer."""

    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        """Canonical position of the visible surface of a frame, (H, W, 3); a point has the same one in all frames."""


@runtime_checkable
class ColoredField(MotionField, Protocol):
    """A field that also contains the colours of the canonical volume."""

    def color_map(self, frame: int) -> NDArray[np.float32]:
        """Colours of the canonical volume rendered from a frame, (H, W, 3) RGB in [0, 1]."""

    def opaque_canonical_map(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`canonical_map`, and the opacity of the volume along the ray of each pixel, (H, W) in [0, 1]."""
