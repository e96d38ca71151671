"""The answer to a query: where N points are in T frames, in one structure that every room shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Tracks:
    """Trajectories of N query points through T frames.

    Convention:
        Pixels are (x, y) of the original video resolution, x right, y down, centres at integers.

    Attributes:
        queries: (N, 3) float32 rows (t, x, y); t is a frame index of the project.
        tracks: (N, T, 2) float32 pixels.
        visible: (N, T) bool.
        confidence: (N, T) float32 in [0, 1].
        depth: (N, T) float32, the field's depth of the point in each frame (arbitrary unit, smaller is nearer).
        frames: (T,) int64 frame indices of the project that the T columns stand for.
        size: (width, height) of the original video in pixels.
        fps: Frames per second of the project.
        meta: What the tracks were made from (plain JSON values).
        pins: (M, 4) float32 rows (track, t, x, y): where tracks were put by hand in further frames.

    Example:
        >>> visible = np.array([[True, False]])
        >>> tracks = Tracks(
        ...     queries=np.array([[0, 10, 20]], np.float32),
        ...     tracks=np.array([[[10, 20], [12, 21]]], np.float32),
        ...     visible=visible,
        ...     confidence=visible.astype(np.float32),
        ...     depth=np.zeros((1, 2), np.float32),
        ...     frames=np.arange(2),
        ...     size=(64, 48),
        ...     fps=25.0,
        ... )
        >>> len(tracks), tracks.tracks[0, 1].tolist()
        (1, [12.0, 21.0])
    """

    queries: NDArray[np.float32]
    tracks: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    depth: NDArray[np.float32]
    frames: NDArray[np.int64]
    size: tuple[int, int]
    fps: float
    meta: dict[str, object] = field(default_factory=dict)
    pins: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))

    def __len__(self) -> int:
        return len(self.queries)

    def to_pandas(self) -> DataFrame:
        """The columns of the CSV, one row a track and frame, as a pandas DataFrame.

        Raises:
            OmnitrackError: pandas is not installed.
        """
        from omnitrack.tracks.notebook import as_pandas

        return as_pandas(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the trajectories, and a table of the first points."""
        from omnitrack.tracks.notebook import as_html

        return as_html(self)
