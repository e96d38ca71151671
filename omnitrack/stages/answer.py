"""The tracks of a query: how they are split into chunks, and the arrays that hold the answer."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.stages.point_tracker import Tracked

CHUNK_POINTS = 16384  # points that are tracked at once ...
CHUNK_ENTRIES = 100 * CHUNK_POINTS  # ... and points times frames, in shots of over 100 frames: 100 bytes each
Rows = NDArray[np.int64]


class Answer:
    """Arrays for the answer, filled chunk by chunk and shot after shot.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        count: Number of tracks P.
        num_frames: Number of frames of the clip, T.

    Attributes:
        pixels: (P, T, 2) working pixels.
        visible: (P, T) bool.
        confidence: (P, T) in [0, 1].
        depth: (P, T) depth in the field; NaN where it has none.
    """

    def __init__(self, count: int, num_frames: int) -> None:
        self.pixels = np.zeros((count, num_frames, 2), np.float32)
        self.visible = np.zeros((count, num_frames), bool)
        self.confidence = np.zeros((count, num_frames), np.float32)
        self.depth = np.zeros((count, num_frames), np.float32)
        self._begun = np.zeros(count, bool)

    def put(self, rows: Rows, shot: range, found: Tracked) -> None:
        """Store the result of a shot; positions and depths also fill later frames, and earlier ones if still empty."""
        inside, after, before = slice(shot.start, shot.stop), slice(shot.stop, None), slice(0, shot.start)
        self.visible[rows, inside], self.confidence[rows, inside] = found.visible, found.confidence
        new = ~self._begun[rows]
        for whole, part in ((self.pixels, found.pixels), (self.depth, found.depth)):
            whole[rows, inside], whole[rows, after] = part, part[:, -1:]
            whole[rows[new], before] = part[new, :1]
        self._begun[rows] = True


def inside_shot(frames: Rows, shot: range) -> NDArray[np.bool_]:
    """Return which frames are in a shot."""
    return (frames >= shot.start) & (frames < shot.stop)


def chunks(points: Rows, frames: Rows, shot: range) -> Iterator[Rows]:
    """Split the tracks of a shot into chunks: first the tracks known in several of its frames, then all others.

    The others are ordered by their known frame, so that most chunks share a frame and its data are computed once.

    Args:
        points: (R,) the track of each query and pin, in order.
        frames: (R,) the frame of each query and pin.
        shot: Frames of the shot; tracks that are known in none of them are left out.
    """
    there = np.flatnonzero(inside_shot(frames, shot))
    tracks, first, known = np.unique(points[there], return_index=True, return_counts=True)
    most = max(1, min(CHUNK_POINTS, CHUNK_ENTRIES // len(shot)))
    often, once = tracks[known > 1], tracks[known == 1]
    once = once[np.argsort(frames[there][first[known == 1]], kind="stable")]
    for rows, step in ((often, max(1, most // int(known.max(initial=1)))), (once, most)):
        yield from (np.sort(rows[i : i + step]) for i in range(0, len(rows), step))
