"""The interface of a format of `omnitrack export`, and the input of its function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

DROP, HOLD, MARK = "drop", "hold", "mark"
HIDDEN = (DROP, HOLD, MARK)


@dataclass(frozen=True)
class Trajectories:
    """N tracks over T frames, prepared for a format's function: occluded points are handled, frames are numbered.

    Convention:
        Pixels (x, y) of the original video, x right, y down, centres at integers; pixels are square. If the unit is
        not ``px``, `points` are these pixels times `scale`.

    Attributes:
        points: (N, T, 2) float64.
        written: (N, T) bool: whether the point is written; false where an occluded point is dropped.
        visible: (N, T) bool: whether the point is visible, with at least the requested confidence.
        confidence: (N, T) float in [0, 1]; 0 where not visible.
        queries: (N, 3) rows (t, x, y): t is a column index from 0, x and y are pixels.
        frames: (T,) int64: frame indices of the project, from 0.
        numbers: (T,) int64: frame numbers as the format counts them.
        seconds: (T,) float64 since the first frame of the footage; NaN if the frame rate is unknown.
        names: One per track, all different.
        size: (width, height) of the frame in pixels.
        fps: Frames per second of the footage.
        scale: Units per pixel.
        unit: ``px``, ``um`` ...
        images: Content of one PNG file per frame, of any size with the same aspect ratio; empty if not available.

    Example: see `ExportFormat`.
    """

    points: NDArray[np.float64]
    written: NDArray[np.bool_]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.floating]
    queries: NDArray[np.floating]
    frames: NDArray[np.int64]
    numbers: NDArray[np.int64]
    seconds: NDArray[np.float64]
    names: tuple[str, ...]
    size: tuple[int, int]
    fps: float
    scale: float = 1.0
    unit: str = "px"
    images: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def from_corner(self) -> NDArray[np.float64]:
        """(N, T, 2) pixels with (0, 0) at the top left corner of the frame, y down."""
        return self.points + 0.5

    @property
    def upward(self) -> NDArray[np.float64]:
        """(N, T, 2) pixels with (0, 0) at the bottom left corner of the frame, y up."""
        points = self.points + 0.5
        points[..., 1] = self.size[1] - points[..., 1]
        return points


@dataclass(frozen=True)
class ExportFormat:
    """A format that tracks can be exported to.

    A package provides a format through an entry point of the group ``omnitrack.export_formats``.

    Attributes:
        name: Name of the format, the value of ``--as``.
        suffix: File suffix, such as ``.nk``; it selects the first format that has it.
        text: One-line description.
        write: Yields the file's content, in pieces, for a `Trajectories`; or its location, ``module:function``.
        first_frame: Number of the footage's first frame.
        series_numbers: Whether frames keep the numbers of an image series (1001 of ``shot.1001.exr``); if not, frames
            count from `first_frame`.
        hidden: Supported treatments of occluded points, the default first: ``drop`` leaves them out, ``hold`` keeps
            them at their last visible position, ``mark`` writes them with a mark.
        units: Whether other units than pixels are supported.
        count: Required number of tracks; None for any number.
        needs: Required properties of the video: ``size``, ``fps``.
        images: Whether it uses `Trajectories.images`.

    Example: a further format, a list of positions.
        >>> def lines(found):
        ...     for name, points in zip(found.names, found.points):
        ...         yield f"{name} {points.tolist()}"
        >>> from omnitrack import Tracks
        >>> import numpy as np
        >>> one = np.ones((1, 1), np.float32)
        >>> rows = np.zeros((1, 3), np.float32), np.array([[[1.5, 2]]], np.float32)
        >>> tracks = Tracks(*rows, one > 0, one, one, np.arange(1), (64, 48), 25.0)
        >>> from omnitrack.tracks.exporting import trajectories
        >>> mine = ExportFormat("places", ".places", "places as text", lines)
        >>> list(mine.write(trajectories(tracks, mine)))
        ['track_0000 [[1.5, 2.0]]']
    """

    name: str
    suffix: str
    text: str
    write: Callable[[Trajectories], Iterable[str | bytes]] | str
    first_frame: int = 0
    series_numbers: bool = False
    hidden: tuple[str, ...] = (DROP, HOLD)
    units: bool = False
    count: int | None = None
    needs: tuple[str, ...] = ()
    images: bool = False
