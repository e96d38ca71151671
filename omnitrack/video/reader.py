"""The interface of all video readers: a stream of (H, W, 3) uint8 RGB frames."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.closing import Closing

DEFAULT_FPS = 24.0  # for images, which have no frame rate


class VideoReader(Closing):
    """A stream of frames and its properties; a context manager, and iterable more than once.

    Attributes:
        size: (width, height) of the frames in pixels, after the video's rotation.
        fps: Frames per second; the mean if the rate varies.
        count: Number of frames: exact for images, an estimate for video files, None if the file does not give it.
        damage: What is wrong with the file, known once an iteration has reached its end; None if nothing is.
        notes: Decisions made in reading, one line each.
        warnings: Possible problems of a readable video, one line each.
        numbers: The number of each frame in its file's name; None without such numbers, as in a video file.
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
        """Stop reading; most readers keep nothing open."""
