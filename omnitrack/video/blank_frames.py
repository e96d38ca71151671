"""Frames of uniform colour in a clip: nothing can be tracked through them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.video.numbers import ranges

BLANK_DEVIATION = 1.0  # of 255, in every channel: an encoded black frame has less, even the dimmest scene has more


class BlankFrames:
    """Finds the blank frames of a clip, frame by frame, and reports their indices."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    def look(self, index: int, frame: NDArray[np.uint8]) -> None:
        """Record a frame (H, W, 3) if it is blank; `index` is its number in the message."""
        import cv2

        if cv2.meanStdDev(frame)[1].max() < BLANK_DEVIATION:
            self.indices.append(index)

    def warning(self, source: str) -> str | None:
        """Return one line that names the blank frames of `source`; None if there are none."""
        if not self.indices:
            return None
        which = "frame" if len(self.indices) == 1 else "frames"
        verb = "is" if len(self.indices) == 1 else "are"
        return (
            f"{which} {ranges(self.indices)} of {source} {verb} of one colour: no motion is seen there,"
            " leave them out with --start or --end where they are at an end"
        )
