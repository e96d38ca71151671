"""What a source of depth maps is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from omnitrack.progress import SILENT, Progress

DEPTH, INVERSE = "depth", "inverse"
LEAST_SIDE = 2  # of a map: less says nothing about what is where


@dataclass(frozen=True)
class DepthClip:
    """What a source is told of the clip.

    Attributes:
        num_frames: T.
        size: (width, height) of the frames in pixels.
        indices: The video's own index of each frame.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Hears of downloads, and of what a source had to choose.
    """

    num_frames: int
    size: tuple[int, int]
    indices: Sequence[int]
    device: str = "cpu"
    progress: Progress = SILENT


class DepthSource(Protocol):
    """Depth maps of a clip's frames, each over the whole frame at any resolution and on any scale."""

    @property
    def kind(self) -> str:
        """``depth``: larger is farther, and values not above zero are holes. ``inverse``: larger is nearer."""

    def depth(self, t: int, frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(h, w) float32 of frame t, which looks like `frame` (H, W, 3) uint8 RGB."""


def one_channel(values: NDArray[Any]) -> NDArray[np.float32] | None:
    """Values as a map (h, w), axes of length 1 left out; None where they are no map of numbers."""
    if values.dtype.kind not in "fiu" or values.size == 0:
        return None
    whole = values.reshape([length for length in values.shape if length > 1])
    if whole.ndim != 2 or min(whole.shape) < LEAST_SIDE:
        return None
    return np.ascontiguousarray(whole, np.float32)
