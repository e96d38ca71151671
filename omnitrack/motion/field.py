"""What every fitted motion field can be asked, whatever method made it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FieldTracks:
    """Points of one frame in other frames.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (N, T, 2) float32 positions in pixels of the working frames.
        depth: (N, T) float32 depth of the point itself in each frame; smaller is nearer.
        visible: (N, T) bool: on the frame, and not behind the surface that is seen there.
    """

    pixels: NDArray[np.float32]
    depth: NDArray[np.float32]
    visible: NDArray[np.bool_]


class MotionField(Protocol):
    """A fitted field over T frames."""

    @property
    def num_frames(self) -> int:
        """T."""

    def track(self, source: int, pixels: NDArray[np.floating], targets: Sequence[int]) -> FieldTracks:
        """Where the points at `pixels` (N, 2) of frame `source` are in each of the frames `targets`."""

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        """Depth of the surface seen in a frame, (H, W); smaller is nearer."""

    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        """Place in the canonical volume of the surface seen in a frame, (H, W, 3): the same in every frame."""


@runtime_checkable
class ColoredField(MotionField, Protocol):
    """A field that also knows what the canonical volume looks like."""

    def color_map(self, frame: int) -> NDArray[np.float32]:
        """Colour of the canonical volume seen from a frame, (H, W, 3) RGB in [0, 1]."""

    def opaque_canonical_map(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """`canonical_map`, and how much of each pixel's light the volume's density stops there, (H, W) in [0, 1]."""
