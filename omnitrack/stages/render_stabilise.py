"""The style stabilise of `omnitrack render`: the clip with a point, an object or the camera held still."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.stabilise import camera_maps, draw_held, thing_maps
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.query import query_tracks
from omnitrack.stages.query_points import build_queries
from omnitrack.stages.render_canvas import Canvas, Painter
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.units import raster_scale

THRESHOLD_PX = 1.5  # at 256 x 256: points farther than this from the common motion move independently
THING_POINTS = 400  # approximate number of tracked points of a mask
CAMERA_COLUMNS = 16  # of the grids whose common motion is the camera motion
CAMERA_EVERY = 12  # frames from one grid to the next, to cover what a pan brings into view


def stabilise_painter(
    canvas: Canvas, settings: Settings, inputs: RenderInputs, device: str, progress: Progress
) -> Painter:
    """Paint the frames with the point or object of `inputs` held where it is in its frame; without either, the camera.

    An object is held in its own shot; other shots are shown unchanged. The camera is held in every shot: in the shot of
    the frame ``render.frame`` as it is in that frame, in other shots as in their first frame.

    Raises:
        OmnitrackError: No fitted field, no such frame, or an unusable point or mask.
    """
    if inputs.point is None and inputs.mask is None:
        maps = _camera(canvas, settings, device, progress)
    else:
        maps = _thing(canvas, settings, inputs, device, progress)
    return lambda frame: draw_held(canvas.plain_frame(frame), maps[frame])


def _thing(
    canvas: Canvas, settings: Settings, inputs: RenderInputs, device: str, progress: Progress
) -> NDArray[np.float64]:
    """Return the (T, 3, 3) maps that hold a point or a mask still."""
    project = canvas.project
    queries = _thing_queries(project, inputs)
    frame = int(queries[0, 0])
    shot = project.shot(frame)
    tracks = query_tracks(project, queries, settings, shot, device, progress)
    maps = np.tile(np.eye(3), (project.num_frames, 1, 1))
    threshold = THRESHOLD_PX * raster_scale(canvas.size)
    pixels = canvas.place(tracks.tracks)
    maps[shot.start : shot.stop] = thing_maps(pixels, tracks.visible, frame - shot.start, threshold)
    return maps


def _thing_queries(project: Project, inputs: RenderInputs) -> NDArray[np.float32]:
    if inputs.mask is None:
        return build_queries(project, points=[inputs.point or ""])
    whole = build_queries(project, masks=[inputs.mask])
    spacing = math.isqrt(len(whole) // THING_POINTS)
    if spacing < 2:
        return whole
    try:
        return build_queries(project, masks=[inputs.mask], mask_spacing=spacing)
    except OmnitrackError:  # thin objects can lie between all points of a lattice
        return whole[:: len(whole) // THING_POINTS]


def _camera(canvas: Canvas, settings: Settings, device: str, progress: Progress) -> NDArray[np.float64]:
    """Return the (T, 3, 3) maps that hold the camera still."""
    project, wanted = canvas.project, settings.render.frame
    if wanted >= project.num_frames:
        raise OmnitrackError(
            f"there is no frame {wanted} in project {project.root}, its frames are 0 to {project.num_frames - 1}",
            "name the frame that stays as it is: --frame T",
        )
    threshold = THRESHOLD_PX * raster_scale(canvas.size)
    maps = np.empty((project.num_frames, 3, 3))
    for shot in project.shots:
        reference = wanted if wanted in shot else shot.start
        begun = sorted({reference, *range(shot.start, shot.stop, CAMERA_EVERY)})
        queries = build_queries(project, grids=[f"{CAMERA_COLUMNS}@{frame}" for frame in begun])
        tracks = query_tracks(project, queries, settings, shot, device, progress)
        pixels = canvas.place(tracks.tracks)
        maps[shot.start : shot.stop] = camera_maps(
            pixels, tracks.visible, tracks.confidence, reference - shot.start, threshold
        )
    return maps
