"""What every reader of a video is: a stream of (H, W, 3) uint8 RGB frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.closing import Closing

DEFAULT_FPS = 24.0  # of images, which carry no rate


class VideoReader(Closing):
    """A stream of frames and what is known about it; a context manager, and iterable more than once.

    Attributes:
        size: (width, height) of the frames in pixels, after the video's rotation.
        fps: Frames per second; the mean where the rate varies.
        count: Number of frames: exact for images, an estimate for video files, None where the file does not tell.
        damage: What was wrong with the file, once an iteration reached its end; None where nothing was.
        notes: What was decided in reading it, one line each.
        warnings: What may be wrong with it although it can be read, one line each.
        numbers: The number that each frame has in its file's name; None where it has none, as in a video file.
    """

    size: tuple[int, int]
    fps: float
    count: int | None
    damage: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    numbers: list[int] | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) uint8 RGB frames, from the first."""

    def __length_hint__(self) -> int:
        return self.count or 0

    def close(self) -> None:
        """Stop reading; most readers hold nothing open."""
