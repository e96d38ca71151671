"""What each style of `omnitrack render` paints for one frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.depth import depth_colours
from omnitrack.drawing.flow import flow_colours
from omnitrack.drawing.palette import marker_radius, position_colours
from omnitrack.drawing.tracks import camera_motion, draw_mesh, draw_points, draw_trails, grid_edges, without_camera
from omnitrack.errors import OmnitrackError
from omnitrack.motion.field import MotionField
from omnitrack.project.project import Project
from omnitrack.settings import RenderSettings
from omnitrack.tracks import Tracks

CAMERA_THRESHOLD_PX = 1.0  # at 256 x 256: farther than this from the common motion is a motion of its own
PROBE_SPACING_PX = 8  # of the points from which the range of a clip's flow is taken
FLOW_QUANTILE, DEPTH_QUANTILES = 0.99, (0.02, 0.98)  # a few wild values shall not wash out the rest
DEPTH_PROBES = 5  # frames from which the range of a clip's depth is taken
GAP_PX = 6  # between the two pictures of `compare`

Picture = NDArray[np.uint8]
Painter = Callable[[int], Picture]


class Canvas:
    """The enlarged frames of a project that everything is drawn on.

    Args:
        project: The project.
        settings: How large and how bright.
    """

    def __init__(self, project: Project, settings: RenderSettings) -> None:
        self.project, self.settings = project, settings
        self.factor = max(1.0, settings.min_side / min(project.size))
        self.size = (round(project.size[0] * self.factor), round(project.size[1] * self.factor))
        self.radius = settings.radius_px or marker_radius(self.size)
        self.thickness = max(1, round(self.radius / 2.5))

    def frame(self, index: int) -> Picture:
        """Frame `index`, enlarged and dimmed, (H, W, 3)."""
        dimmed = cv2.convertScaleAbs(self.enlarge(self.project.frame(index)), alpha=min(1.0, self.settings.brightness))
        return np.asarray(dimmed, np.uint8)

    def enlarge(self, picture: Picture) -> Picture:
        """A picture of the working size at the canvas's size."""
        if (picture.shape[1], picture.shape[0]) == self.size:
            return picture
        return np.asarray(cv2.resize(picture, self.size, interpolation=cv2.INTER_CUBIC), np.uint8)

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (..., 2) of the original video to pixels of the canvas."""
        stretch = np.array(self.size) / np.array(self.project.size)
        return (self.project.to_working(pixels) + 0.5) * stretch - 0.5


class TrackView:
    """Tracks in pixels of a canvas, each with its colour.

    Args:
        canvas: Where they are drawn.
        tracks: In pixels of the original video.
    """

    def __init__(self, canvas: Canvas, tracks: Tracks) -> None:
        self.canvas, self.visible = canvas, tracks.visible
        self.pixels = canvas.place(tracks.tracks)
        self.queries = np.column_stack([tracks.queries[:, 0], canvas.place(tracks.queries[:, 1:])])
        self._columns = {int(frame): column for column, frame in enumerate(tracks.frames)}
        starts = self.queries[:, 1:]
        (left, top), (right, bottom) = starts.min(0).tolist(), starts.max(0).tolist()
        self.colours = position_colours(starts, (left, top, right, bottom))

    def column(self, frame: int) -> int:
        """Which of the T columns stands for a frame."""
        return self._columns[frame]

    @cached_property
    def camera(self) -> NDArray[np.float64]:
        """(T, 3, 3) the camera's motion, see `camera_motion`."""
        threshold = CAMERA_THRESHOLD_PX * min(self.canvas.size) / 256
        return camera_motion(self.pixels, self.visible, threshold)

    def points_over(self, picture: Picture, frame: int, rows: NDArray[np.bool_] | slice = slice(None)) -> Picture:
        """The tracks' points of one frame over a picture."""
        column = self.column(frame)
        pixels, visible, colours = self.pixels[rows, column], self.visible[rows, column], self.colours[rows]
        return draw_points(picture, pixels, visible, colours, self.canvas.radius, self.canvas.settings.hidden)


def _points(view: TrackView) -> Painter:
    return lambda frame: view.points_over(view.canvas.frame(frame), frame)


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
        now = view.visible[:, column]
        return draw_points(picture, view.pixels[:, column], now, view.colours, 0.6 * canvas.radius, hidden=False)

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
        return draw_mesh(view.canvas.frame(frame), pixels, visible, view.colours, edges, lengths, view.canvas.thickness)

    return paint


def _compare(view: TrackView) -> Painter:
    """The frame that most points were asked in on the left, the current frame on the right, the same points in both."""
    frames, counts = np.unique(view.queries[:, 0], return_counts=True)
    asked = int(frames[counts.argmax()])
    rows = view.queries[:, 0] == asked
    starts, colours = view.queries[rows, 1:], view.colours[rows]
    canvas = view.canvas
    left = draw_points(canvas.frame(asked), starts, np.ones(len(starts), bool), colours, canvas.radius)
    gap = np.full((left.shape[0], GAP_PX, 3), 255, np.uint8)
    return lambda frame: np.hstack([left, gap, view.points_over(canvas.frame(frame), frame, rows)])


def _flow(canvas: Canvas, field: MotionField) -> Painter:
    """Motion to the next frame; in the last frame, that of the step into it."""
    width, height = canvas.project.size

    def flow(frame: int, spacing: int) -> NDArray[np.float32]:
        pixels = np.stack(np.meshgrid(np.arange(0, width, spacing), np.arange(0, height, spacing)), -1)
        last = frame == canvas.project.num_frames - 1
        moved = field.track(frame, pixels.reshape(-1, 2).astype(np.float32), [frame - 1 if last else frame + 1])
        step = moved.pixels[:, 0].reshape(pixels.shape) - pixels
        return (-step if last else step).astype(np.float32)

    frames = range(canvas.project.num_frames)
    lengths = [np.linalg.norm(flow(frame, PROBE_SPACING_PX), axis=-1).ravel() for frame in frames]
    limit = float(np.quantile(np.concatenate(lengths), FLOW_QUANTILE))
    return lambda frame: canvas.enlarge(flow_colours(flow(frame, 1), limit))


def _depth(canvas: Canvas, field: MotionField) -> Painter:
    probes = np.unique(np.linspace(0, canvas.project.num_frames - 1, DEPTH_PROBES).round().astype(int)).tolist()
    near, far = np.quantile(np.stack([field.depth_map(frame) for frame in probes]), DEPTH_QUANTILES)
    return lambda frame: canvas.enlarge(depth_colours(field.depth_map(frame), float(near), float(far)))


TRACK_STYLES: dict[str, Callable[[TrackView], Painter]] = {
    "points": _points,
    "trails": _trails,
    "grid": _grid,
    "compare": _compare,
}
FIELD_STYLES: dict[str, Callable[[Canvas, MotionField], Painter]] = {"flow": _flow, "depth": _depth}
STYLES = (*TRACK_STYLES, *FIELD_STYLES)
