"""`omnitrack render`: tracks of a project, its fitted field, or a drawing carried by the field, as a video."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnitrack.config import as_dict, fingerprint
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.project.renders import record_render
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import Settings
from omnitrack.stages.render_canvas import Canvas, Painter, Picture, side_by_side
from omnitrack.stages.render_edit import Drawing, edit_painter, read_drawing
from omnitrack.stages.render_inputs import NOTHING, RenderInputs, check_inputs
from omnitrack.stages.render_matte import marked_drawing, matte_painter
from omnitrack.stages.render_styles import EDIT_STYLE, MATTE_STYLE, STABILISE_STYLE, STYLES, TRACK_STYLES
from omnitrack.stages.render_track_styles import TRACK_PAINTERS, TrackView
from omnitrack.stages.shown_video import as_html
from omnitrack.stages.track_labels import labels_of
from omnitrack.tracks.tracks import Tracks


@dataclass(frozen=True)
class RenderReport:
    """What `render` drew.

    Attributes:
        style: One of `omnitrack.stages.render_styles.STYLES`.
        output: The file, or the pattern of a sequence of images.
        frames: Number of frames.
        size: (width, height) of the frames in pixels.
        points: Number of tracks drawn; 0 for styles that draw no tracks.
        seconds: Wall time.
    """

    style: str
    output: str
    frames: int
    size: tuple[int, int]
    points: int
    seconds: float

    def _repr_html_(self) -> str:
        """Return HTML that plays the video in a notebook."""
        return as_html(Path(self.output))


def render(
    project: Project,
    settings: Settings,
    tracks: Tracks | None,
    style: str,
    output: Path | None,
    device: str = "auto",
    progress: Progress = SILENT,
    inputs: RenderInputs = NOTHING,
) -> RenderReport:
    """Draw a project's tracks, its fitted field or a drawing over its frames and write the result as a video.

    Args:
        project: The project.
        settings: Uses the table ``render``.
        tracks: The tracks to draw, in pixels of the original video; None tracks a grid of the frame ``render.frame``.
            Used by the styles that draw tracks (`TRACK_STYLES`); the others use the fitted field itself.
        style: One of `omnitrack.stages.render_styles.STYLES`.
        output: The file to write, in the format of its suffix; None writes ``renders/STYLE.mp4`` in the project.
        device: Where the field is evaluated.
        progress: Receives one step per frame.
        inputs: Further inputs of the style.

    Raises:
        OmnitrackError: An unknown style, tracks of another video, no fitted field where one is needed, a field that
            cannot show the style, unusable inputs, or a file that cannot be written.
        UsageError: A style without its required input, or an input for another style.
    """
    began = time.perf_counter()
    if style not in STYLES:
        raise OmnitrackError(f"there is no style {style!r}", f"known: {', '.join(STYLES)}")
    check_inputs(project.root, style, inputs)
    drawing = _drawing(project, settings, inputs, style)
    path = output or project.renders_dir / f"{style}.mp4"
    with Canvas(project, settings.render, progress) as canvas:
        frames = list(range(project.num_frames))
        if style in TRACK_STYLES:
            tracks = _default_grid(project, settings, device, progress) if tracks is None else tracks
            _check_tracks(project, tracks)
            frames = tracks.frames.tolist()
            labels = labels_of(inputs.labels, tracks) if inputs.labels else None
            painter = TRACK_PAINTERS[style](TrackView(canvas, tracks, labels))
        else:
            tracks = None
            painter = _field_painter(canvas, settings, style, inputs, drawing, device, progress)
        fps = settings.render.fps or project.meta.fps
        pictures = (_beside_plain(canvas, painter, frame) for frame in frames)
        width, height = _write(pictures, path, fps, style, len(frames), progress)
    words = [*inputs.words(), *(["--frame", str(settings.render.frame)] if style == STABILISE_STYLE else [])]
    stamp = _stamp(project, style, settings, tracks, drawing, inputs)
    record_render(project, path, stamp, inputs.edit, words)
    points = 0 if tracks is None else len(tracks)
    return RenderReport(style, str(path), len(frames), (width, height), points, time.perf_counter() - began)


def _field_painter(
    canvas: Canvas,
    settings: Settings,
    style: str,
    inputs: RenderInputs,
    drawing: Drawing | None,
    device: str,
    progress: Progress,
) -> Painter:
    """Return the painter of a style that draws no tracks."""
    if style == STABILISE_STYLE:
        from omnitrack.stages.render_stabilise import stabilise_painter

        return stabilise_painter(canvas, settings, inputs, device, progress)
    from omnitrack.stages.fit import load_field
    from omnitrack.stages.render_field_styles import FIELD_PAINTERS

    field = load_field(canvas.project, device)
    if drawing is None:
        return FIELD_PAINTERS[style](canvas, field)
    return (edit_painter if style == EDIT_STYLE else matte_painter)(canvas, field, drawing)


def _beside_plain(canvas: Canvas, painter: Painter, frame: int) -> Picture:
    """Paint a frame, beside the original frame if the settings ask for it."""
    picture = painter(frame)
    return side_by_side(canvas.plain_frame(frame), picture) if canvas.settings.side_by_side else picture


def _write(
    pictures: Iterator[Picture], path: Path, fps: float, style: str, count: int, progress: Progress
) -> tuple[int, int]:
    """Write pictures (H, W, 3) as a video; return their (width, height)."""
    from omnitrack.video.writing import VideoWriter

    first = next(pictures)  # before the file is opened: gives the size, and fails if the style cannot be painted
    height, width = first.shape[:2]
    with VideoWriter(path, fps, (width, height)) as writer, progress.task(style, count, unit="frames") as task:
        for picture in itertools.chain([first], pictures):
            writer.write(picture)
            task.advance()
    return width, height


def _drawing(project: Project, settings: Settings, inputs: RenderInputs, style: str) -> Drawing | None:
    """Return the drawing that the styles edit and matte carry; None for the other styles."""
    if inputs.edit is not None:
        return read_drawing(project, inputs.edit, settings.render.frame)
    return marked_drawing(project, inputs.mask) if inputs.mask is not None and style == MATTE_STYLE else None


def _stamp(
    project: Project,
    style: str,
    settings: Settings,
    tracks: Tracks | None,
    drawing: Drawing | None,
    given: RenderInputs,
) -> dict[str, Any] | None:
    """Return what a render is made from: the fit, maybe through tracks, and the inputs; None if the fit is unknown."""
    if tracks is None:
        from omnitrack.project.checkpoint import load_checkpoint, newest_checkpoint

        path = newest_checkpoint(project)
        inputs: Any = {"fit": fingerprint(load_checkpoint(project).stamp)} if path else None
    else:
        made: Any = tracks.meta.get("stamp") or {}
        inputs = made.get("inputs")
    if not inputs:
        return None
    drawn = {"drawing": drawing.fingerprint} if given.edit and drawing else given.fingerprints()
    return make_stamp({**inputs, **drawn}, {**as_dict(settings.render), "style": style})


def _default_grid(project: Project, settings: Settings, device: str, progress: Progress) -> Tracks:
    from omnitrack.stages.query import query_tracks
    from omnitrack.stages.query_points import build_queries

    queries = build_queries(project, grids=[f"{settings.render.grid}@{settings.render.frame}"])
    return query_tracks(project, queries, settings, device=device, progress=progress)


def _check_tracks(project: Project, tracks: Tracks) -> None:
    """Refuse tracks that cannot be of this project; tracks of unknown size are accepted at any size."""
    hint = f"track points of this project: omnitrack query {project.root} --grid 20@0"
    if not len(tracks) or not len(tracks.frames):
        raise OmnitrackError("there are no tracks to draw", hint)
    size = project.meta.original_size
    if tuple(tracks.size) not in (size, (0, 0)):
        raise OmnitrackError(
            f"the tracks are of a video of {tracks.size[0]}x{tracks.size[1]}, "
            f"the video of project {project.root} is {size[0]}x{size[1]}",
            hint,
        )
    if tracks.meta.get("frames", project.meta.fingerprint) != project.meta.fingerprint:
        raise OmnitrackError(f"the tracks were made from other frames than those of project {project.root}", hint)
    mentioned = np.concatenate([tracks.frames, tracks.queries[:, 0]])
    if mentioned.min() < 0 or mentioned.max() >= project.num_frames:
        raise OmnitrackError(
            f"the tracks mention frames {mentioned.min():g} to {mentioned.max():g}, "
            f"project {project.root} has {project.num_frames} frames",
            hint,
        )
