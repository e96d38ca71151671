"""What a format of `omnitrack export` is, and what its function is given."""

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
    """N tracks over T frames as a format's function writes them: hidden points are dealt with, frames are numbered.

    Convention:
        Pixels (x, y) of the original video, x right, y down, centres at integers; pixels are square. Where the unit is
        not ``px``, `points` are those pixels times `scale`.

    Attributes:
        points: (N, T, 2) float64.
        written: (N, T) bool: there is something to write; false where hidden points are dropped.
        visible: (N, T) bool: seen, and sure enough.
        confidence: (N, T) float in [0, 1]; 0 where not visible.
        queries: (N, 3) rows (t, x, y), t a column from 0, pixels.
        frames: (T,) int64: the frames of the project, from 0.
        numbers: (T,) int64: the frames as the format counts them.
        seconds: (T,) float64 since the first frame of the footage; NaN where the rate is not known.
        names: One a track, all different.
        size: (width, height) of the frame in pixels.
        fps: Frames per second of the footage.
        scale: Units per pixel.
        unit: ``px``, ``um`` ...
        images: Of each frame a PNG file's content, in any size of the aspect ratio; empty where they are not known.

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

    A package offers one through an entry point of the group ``omnitrack.export_formats``.

    Attributes:
        name: What the user types after ``--as``.
        suffix: Of its files, ``.nk``; it chooses the format where it is the first with it.
        text: What it is, in a line.
        write: Makes the file's content, in pieces, of a `Trajectories`; or where it is found, ``module:function``.
        first_frame: Number of the footage's first frame.
        series_numbers: Images of a series keep their numbers (1001 of ``shot.1001.exr``); without, it counts from
            `first_frame` on.
        hidden: What can be done with hidden points, the usual first: ``drop`` leaves them out, ``hold`` leaves them
            where they were seen last, ``mark`` writes them with a mark.
        units: Can be in other units than pixels.
        count: How many tracks it takes; None for any number.
        needs: What must be known: ``size``, ``fps``.
        images: Wants `Trajectories.images`.

    Example: a list of places, one format more.
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
