"""The result of a query: positions of N points in T frames, in one structure that all packages share."""

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
        frames: (T,) int64 frame indices of the project for the T columns.
        size: (width, height) of the original video in pixels.
        fps: Frames per second of the project.
        meta: Provenance of the tracks (plain JSON values).
        pins: (M, 4) float32 rows (track, t, x, y): manual positions of tracks in further frames.

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
        """Write the tracks to a file, in a format of omnitrack or of `omnitrack export`.

        Args:
            path: The file; missing parents are created.
            format: Name of the format; None for the suffix: .npz, .csv, .json and .h5 (omnitrack's own), .nk (Nuke) ...
            options: Options of an export, see `omnitrack.tracks.exporting.ExportOptions`.

        Raises:
            OmnitrackError: The format is unknown or does not support an option, or the file cannot be written.
        """
        from omnitrack.tracks.saving import save_as

        save_as(self, Path(path), format, options)

    def to_pandas(self) -> DataFrame:
        """Return the columns of the CSV, one row per track and frame, as a pandas DataFrame.

        Raises:
            OmnitrackError: pandas is not installed.
        """
        from omnitrack.tracks.notebook import as_pandas

        return as_pandas(self)

    def plot(self, plot: str = "tracks", scale: float | None = None, unit: str | None = None) -> Any:
        """Draw the tracks over time; needs matplotlib (the extra ``plot``).

        Args:
            plot: ``tracks`` (x, y, speed and confidence), ``speed`` or ``confidence``.
            scale: Length of a pixel, for lengths and speeds in `unit`; None for pixels.
            unit: Name of the unit; None for micrometres.

        Returns:
            `omnitrack.plotting.diagram.Diagram`: notebooks display it, `save` writes it, `figure` is matplotlib's.

        Raises:
            OmnitrackError: The plot is unknown, there are no tracks, the scale is invalid, or matplotlib is missing.
        """
        from omnitrack.tracks.notebook import from_above

        return from_above("plot")(self, plot, scale, unit)

    def show(self, project: Any = None) -> Any:
        """Show the tracks in a notebook: play, zoom, trails, one timeline per point, export (the extra ``notebook``).

        Args:
            project: The project whose frames to show, from `omnitrack.open`, or its directory; None for plain grey.

        Returns:
            `omnitrack.view.widget.PageWidget`: the page, which runs until its `close`.

        Raises:
            OmnitrackError: Not in a notebook, packages or tracks are missing, or the tracks are of another project.
        """
        from omnitrack.tracks.notebook import from_above

        return from_above("show")(self, project)

    def _repr_html_(self) -> str:
        """Return what a notebook displays: the trajectories, and a table of the first points."""
        from omnitrack.tracks.notebook import as_html

        return as_html(self)
