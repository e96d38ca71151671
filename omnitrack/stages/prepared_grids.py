"""The grids by which lost points are found again (`omnitrack.correspondence.recovery`), followed while nobody waits."""

from __future__ import annotations

import threading

from omnitrack.correspondence.recovery import FollowedGrid

MOST_BYTES = 128 * 2**20  # 60 grids of a clip of 32 frames, 8 of a long one


class PreparedGrids:
    """The followed grids of some source frames; may be used from several threads.

    Args:
        most_bytes: Memory for grids; once it is used up, no more are wanted: only patient queries find points again.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._kept: dict[int, FollowedGrid] = {}
        self._wanted: list[int] = []

    def of(self, frame: int) -> FollowedGrid | None:
        """Return the grid of a frame of the clip; if there is none yet, None, and it is wanted from now on."""
        with self._lock:
            found = self._kept.get(frame)
            if found is None and sum(grid.nbytes for grid in self._kept.values()) < self._most_bytes:
                self._wanted = [*(other for other in self._wanted if other != frame), frame]
            return found

    def next_wanted(self) -> int | None:
        """Return the frame that was asked for last, once; None if there is none."""
        with self._lock:
            return self._wanted.pop() if self._wanted else None

    def keep(self, frame: int, grid: FollowedGrid) -> None:
        """Keep the grid of a frame of the clip."""
        with self._lock:
            self._kept[frame] = grid

    def clear(self) -> None:
        """Forget all grids: the flow has changed."""
        with self._lock:
            self._kept.clear()
            self._wanted.clear()
