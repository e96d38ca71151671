"""The styles of `omnitrack render` that draw tracks over the frames: what each paints for one frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.legend import Entry, label_entries, point_entries, scale_entries
from omnitrack.drawing.names import draw_names
from omnitrack.drawing.palette import UNLABELLED, label_colours, position_colours
from omnitrack.drawing.scale import scale_colours
from omnitrack.drawing.tracks import camera_motion, draw_mesh, draw_points, draw_trails, grid_edges, without_camera
from omnitrack.errors import OmnitrackError
from omnitrack.stages.render_canvas import Canvas, Painter, Picture, side_by_side
from omnitrack.tracks.tracks import Tracks
from omnitrack.units import raster_scale

CAMERA_THRESHOLD_PX = 1.0  # at 256 x 256: points farther than this from the common motion move independently
SMALLER = 0.6  # radius of points where lines show more, in usual radii


class TrackView:
    """Tracks in pixels of a canvas, each with its colour.

    Args:
        canvas: The canvas to draw on.
        tracks: The tracks, in pixels of the original video.
        labels: One label per track, which sets its colour; None colours tracks by their starting position.
    """

    def __init__(self, canvas: Canvas, tracks: Tracks, labels: Sequence[str] | None = None) -> None:
        self.canvas, self.visible, self.confidence = canvas, tracks.visible, tracks.confidence
        self.pixels = canvas.place(tracks.tracks)
        self.pixels[~_in_known_shots(tracks, canvas.project.meta.cuts)] = np.nan  # not drawn
        self.queries = np.column_stack([tracks.queries[:, 0], canvas.place(tracks.queries[:, 1:])])
        self._columns = {int(frame): column for column, frame in enumerate(tracks.frames)}
        starts = self.queries[:, 1:]
        (left, top), (right, bottom) = starts.min(0).tolist(), starts.max(0).tolist()
        self.colours = position_colours(starts, (left, top, right, bottom))
        self._legend: dict[str, NDArray[np.uint8]] = {}
        self._names: list[str] = []
        if labels is not None:
            self._take_labels(labels)

    def column(self, frame: int) -> int:
        """Return which of the T columns belongs to a frame."""
        return self._columns[frame]

    @cached_property
    def camera(self) -> NDArray[np.float64]:
        """The camera motion (T, 3, 3), see `camera_motion`."""
        threshold = CAMERA_THRESHOLD_PX * raster_scale(self.canvas.size)
        return camera_motion(self.pixels, self.visible, threshold)

    def points_over(
        self,
        picture: Picture,
        frame: int,
        rows: NDArray[np.bool_] | slice = slice(None),
        colours: NDArray[np.uint8] | None = None,
        size: float = 1.0,
    ) -> Picture:
        """Draw the tracks' points of one frame over a picture, with their names.

        Args:
            picture: The picture to draw on.
            frame: Frame of the project.
            rows: Which of the N tracks to draw.
            colours: (N, 3) colours instead of the tracks' own.
            size: Size of the points, in usual radii.
        """
        column, canvas = self.column(frame), self.canvas
        colours = (self.colours if colours is None else colours)[rows]
        pixels, visible, hidden = self.pixels[rows, column], self.visible[rows, column], canvas.settings.hidden
        drawn = draw_points(picture, pixels, visible, colours, size * canvas.radius, hidden)
        if not self._names:
            return drawn
        names = np.array(self._names, object)[rows]
        names[~(visible | hidden)] = ""
        return draw_names(drawn, pixels, names.tolist(), colours, canvas.radius)

    def label_entries(self, picture: Picture) -> list[Entry]:
        """Return legend entries for the labels that several tracks share."""
        return label_entries(picture, self._legend)

    def explained(self, picture: Picture) -> Picture:
        """Return the picture, with a legend of points and labels if the settings ask for one."""
        points = point_entries(picture, self.canvas.settings.hidden)
        return self.canvas.explained(picture, [*points, *self.label_entries(picture)])

    def _take_labels(self, labels: Sequence[str]) -> None:
        """Colour tracks by label. Shared labels go into the legend, a label of a single track beside its point."""
        counts = Counter(label for label in labels if label)
        colours = dict(zip(counts, label_colours(len(counts)), strict=True))
        self.colours = np.array([colours.get(label, UNLABELLED) for label in labels], np.uint8)
        self._legend = {label: colours[label] for label, count in counts.items() if count > 1}
        self._names = [label if counts[label] == 1 else "" for label in labels]


def _in_known_shots(tracks: Tracks, cuts: Sequence[int]) -> NDArray[np.bool_]:
    """Return (N, T) whether a track has its query or a pin in the shot of a frame; other shots are unknown."""
    known = np.zeros((len(tracks), len(cuts) + 1), bool)
    for rows, frames in (
        (np.arange(len(tracks)), tracks.queries[:, 0]),
        (tracks.pins[:, 0].astype(int), tracks.pins[:, 1]),
    ):
        known[rows, np.searchsorted(cuts, frames, "right")] = True
    return known[:, np.searchsorted(cuts, tracks.frames, "right")]


def _points(view: TrackView) -> Painter:
    return lambda frame: view.explained(view.points_over(view.canvas.frame(frame), frame))


def _confidence(view: TrackView) -> Painter:
    """Points coloured by their confidence."""

    def paint(frame: int) -> Picture:
        colours = scale_colours(view.confidence[:, view.column(frame)][None])[0]
        picture = view.points_over(view.canvas.frame(frame), frame, colours=colours)
        marks = point_entries(picture, view.canvas.settings.hidden)
        return view.canvas.explained(picture, [*marks, *scale_entries(picture, "confidence 0", "1")])

    return paint


def _trails(view: TrackView) -> Painter:
    settings = view.canvas.settings

    def paint(frame: int) -> Picture:
        column = view.column(frame)
        past = slice(max(0, column - settings.trail), column + 1)
        paths = view.pixels[:, past]
        if settings.remove_camera:
            paths = without_camera(paths, view.camera[past])
        canvas = view.canvas
        picture = draw_trails(canvas.frame(frame), paths, view.visible[:, past], view.colours, canvas.thickness)
        return view.explained(view.points_over(picture, frame, size=SMALLER))

    return paint


def _grid(view: TrackView) -> Painter:
    edges = grid_edges(view.queries)
    if not len(edges):
        raise OmnitrackError(
            "the tracks do not start on a grid, there is no mesh to draw",
            f"track one: omnitrack query {view.canvas.project.root} --grid 20@0, or take --style points",
        )
    starts = view.queries[:, 1:]
    lengths = np.linalg.norm(starts[edges[:, 0]] - starts[edges[:, 1]], axis=1)

    def paint(frame: int) -> Picture:
        column = view.column(frame)
        pixels, visible = view.pixels[:, column], view.visible[:, column]
        canvas, colours = view.canvas, view.colours
        picture = draw_mesh(canvas.frame(frame), pixels, visible, colours, edges, lengths, canvas.thickness)
        if canvas.settings.hidden:
            picture = draw_points(
                picture, pixels[~visible], visible[~visible], colours[~visible], SMALLER * canvas.radius
            )
        marks = [*point_entries(picture, canvas.settings.hidden)[1:], *view.label_entries(picture)]
        return canvas.explained(picture, [*marks, (None, "lines break where their points are hidden")])

    return paint


def _compare(view: TrackView) -> Painter:
    """The frame with most queries on the left, the current frame on the right, the same points in both."""
    frames, counts = np.unique(view.queries[:, 0], return_counts=True)
    asked = int(frames[counts.argmax()])
    rows = view.queries[:, 0] == asked
    starts, colours = view.queries[rows, 1:], view.colours[rows]
    canvas = view.canvas
    left = draw_points(canvas.frame(asked), starts, np.ones(len(starts), bool), colours, canvas.radius)
    return lambda frame: view.explained(side_by_side(left, view.points_over(canvas.frame(frame), frame, rows)))


TRACK_PAINTERS: dict[str, Callable[[TrackView], Painter]] = {
    "points": _points,
    "trails": _trails,
    "grid": _grid,
    "compare": _compare,
    "confidence": _confidence,
}
