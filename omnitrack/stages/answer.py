"""The tracks of a query: which are worked on together, and where each of them is kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.stages.point_tracker import Tracked

CHUNK_POINTS = 16384  # worked on at once ...
CHUNK_ENTRIES = 100 * CHUNK_POINTS  # ... and, in shots of more than 100 frames, points times frames: 100 bytes each
Rows = NDArray[np.int64]


class Answer:
    """Room for the answer, filled chunk by chunk and shot after shot.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        count: Number of tracks P.
        num_frames: Of the clip, T.

    Attributes:
        pixels: (P, T, 2) working pixels.
        visible: (P, T) bool.
        confidence: (P, T) in [0, 1].
        depth: (P, T) of the field; NaN where there is none.
    """

    def __init__(self, count: int, num_frames: int) -> None:
        self.pixels = np.zeros((count, num_frames, 2), np.float32)
        self.visible = np.zeros((count, num_frames), bool)
        self.confidence = np.zeros((count, num_frames), np.float32)
        self.depth = np.zeros((count, num_frames), np.float32)
        self._begun = np.zeros(count, bool)

    def put(self, rows: Rows, shot: range, found: Tracked) -> None:
        """What is found in a shot holds after it, until a later shot is put, and before it if no earlier one was."""
        inside, after, before = slice(shot.start, shot.stop), slice(shot.stop, None), slice(0, shot.start)
        self.visible[rows, inside], self.confidence[rows, inside] = found.visible, found.confidence
        new = ~self._begun[rows]
        for whole, part in ((self.pixels, found.pixels), (self.depth, found.depth)):
            whole[rows, inside], whole[rows, after] = part, part[:, -1:]
            whole[rows[new], before] = part[new, :1]
        self._begun[rows] = True


def inside_shot(frames: Rows, shot: range) -> NDArray[np.bool_]:
    """Which of some frames are in a shot."""
    return (frames >= shot.start) & (frames < shot.stop)


def chunks(points: Rows, frames: Rows, shot: range) -> Iterator[Rows]:
    """Tracks to be worked on together in a shot, in order: those known in several frames of it, and then the others.

    Of these the tracks of one frame are together as far as there is room: what is made of a frame is made once.

    Args:
        points: (R,) the track of each query and pin, in order.
        frames: (R,) their frames.
        shot: Its frames; tracks that are known in none of them have no part in it.
    """
    there = np.flatnonzero(inside_shot(frames, shot))
    tracks, first, known = np.unique(points[there], return_index=True, return_counts=True)
    most = max(1, min(CHUNK_POINTS, CHUNK_ENTRIES // len(shot)))
    often, once = tracks[known > 1], tracks[known == 1]
    once = once[np.argsort(frames[there][first[known == 1]], kind="stable")]
    for rows, step in ((often, max(1, most // int(known.max(initial=1)))), (once, most)):
        yield from (np.sort(rows[i : i + step]) for i in range(0, len(rows), step))
