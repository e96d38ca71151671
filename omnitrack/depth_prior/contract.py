"""The contract of sources of depth maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from omnitrack.progress import SILENT, Progress

DEPTH, INVERSE = "depth", "inverse"
LEAST_SIDE = 2  # of a map, in pixels: a narrower map does not resolve the frame


@dataclass(frozen=True)
class DepthClip:
    """The clip, as a source receives it.

    Attributes:
        num_frames: T.
        size: (width, height) of the frames in pixels.
        indices: Index of each frame in the video.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Receives progress updates and messages, such as choices that a source made.
    """

    num_frames: int
    size: tuple[int, int]
    indices: Sequence[int]
    device: str = "cpu"
    progress: Progress = SILENT


class DepthSource(Protocol):
    """Depth maps of a clip's frames, each covering the whole frame, at any resolution and on any scale."""

    @property
    def kind(self) -> str:
        """``depth``: larger is farther, and values not above zero are holes. ``inverse``: larger is nearer."""

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the depth map (h, w) float32 of frame t, whose image is `frame` (H, W, 3) uint8 RGB."""


def one_channel(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """Return values as a map (h, w), without axes of length 1; None if they are not a map of numbers."""
    if values.dtype.kind not in "fiu" or values.size == 0:
        return None
    whole = values.reshape([length for length in values.shape if length > 1])
    if whole.ndim != 2 or min(whole.shape) < LEAST_SIDE:
        return None
    return np.ascontiguousarray(whole, np.float32)
