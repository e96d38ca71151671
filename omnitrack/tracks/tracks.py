"""The answer to a query: where N points are in T frames, in one structure that every room shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    def save(self, path: str | Path, format: str | None = None, **options: Any) -> None:
        """Write the tracks to a file, in omnitrack's formats or in those of `omnitrack export`.

        Args:
            path: The file; missing parents are made.
            format: A name; None goes by the suffix: .npz, .csv, .json and .h5 are omnitrack's own, .nk is Nuke's ...
            options: Of an export: `omnitrack.tracks.exporting.ExportOptions`.

        Raises:
            OmnitrackError: A format nobody knows, what a format cannot do, or a file that cannot be written.
        """
        from omnitrack.tracks.saving import save_as

        save_as(self, Path(path), format, options)

    def to_pandas(self) -> DataFrame:
        """The columns of the CSV, one row a track and frame, as a pandas DataFrame.

        Raises:
            OmnitrackError: pandas is not installed.
        """
        from omnitrack.tracks.notebook import as_pandas

        return as_pandas(self)

    def plot(self, plot: str = "tracks", scale: float | None = None, unit: str | None = None) -> Any:
        """Draw the tracks over time; needs matplotlib (the extra ``plot``).

        Args:
            plot: tracks (x, y, speed and confidence), speed or confidence.
            scale: Length of a pixel, for lengths and speeds in units; None tells them in pixels.
            unit: Its name; None says micrometres.

        Returns:
            `omnitrack.plotting.diagram.Diagram`: a notebook shows it, `save` writes it, `figure` is matplotlib's.

        Raises:
            OmnitrackError: A plot nobody knows, no tracks, a scale that is none, or no matplotlib.
        """
        from omnitrack.tracks.notebook import from_above

        return from_above("plot")(self, plot, scale, unit)

    def show(self, project: Any = None) -> Any:
        """Show the tracks in a notebook: play, zoom, trails, a timeline a point, export (the extra ``notebook``).

        Args:
            project: Has the frames below them: what `omnitrack.open` returned, or its directory; None for plain grey.

        Returns:
            `omnitrack.view.widget.PageWidget`: the page, until its `close`.

        Raises:
            OmnitrackError: Not in a notebook, packages are missing, no tracks, or those of another project.
        """
        from omnitrack.tracks.notebook import from_above

        return from_above("show")(self, project)

    def _repr_html_(self) -> str:
        """What a notebook shows: the trajectories, and a table of the first points."""
        from omnitrack.tracks.notebook import as_html

        return as_html(self)
