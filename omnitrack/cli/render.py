"""`omnitrack render`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitrack.cli.options import HERE, Assignments, Output, ProjectArgument, Style
from omnitrack.cli.session import Session

if TYPE_CHECKING:
    from omnitrack.project.project import Project
    from omnitrack.settings import Settings
    from omnitrack.tracks import Tracks

EXAMPLES = """
omnitrack render clip                           the tracks of the last query as an overlay
omnitrack render clip --style trails --remove-camera-motion -o trails.gif
omnitrack render clip --style depth -o depth/   a folder of PNG
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    style: Style = "trails",
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tracks to draw.", show_default="PROJECT/tracks/tracks.npz"),
    ] = None,
    frame: Annotated[
        int | None, typer.Option(min=0, metavar="T", help="Draw a grid of points of this frame instead.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0, metavar="FPS", help="Frames per second.", show_default="the project's")
    ] = None,
    remove_camera_motion: Annotated[
        bool, typer.Option("--remove-camera-motion", help="Draw trails as if the camera stood still.")
    ] = False,
    output: Output = None,
    assignments: Assignments = None,
) -> None:
    """Draw tracks, flow or depth as a video.

    Hidden points are drawn as rings.
    """
    from omnitrack.stages.render import render

    opened = session.project(project)
    flags = {"render.fps": fps, "render.remove_camera": remove_camera_motion or None}
    settings = session.settings(opened.settings_path, assignments, flags)
    drawn = None if style in ("flow", "depth") else _tracks(session, opened, settings, tracks, frame)
    session.report(render(opened, settings, drawn, style, output, session.device, session.progress))


def _tracks(session: Session, project: Project, settings: Settings, path: Path | None, frame: int | None) -> Tracks:
    """The tracks that were named, else a grid on the frame that was named, else those of the last query."""
    from omnitrack.project.tracks_io import load_tracks
    from omnitrack.stages.query import query_tracks
    from omnitrack.stages.query_points import build_queries

    default = project.tracks_dir / "tracks.npz"
    if path is None and (frame is not None or not default.exists()):
        queries = build_queries(project, grids=[f"{settings.render.grid}@{frame or 0}"])
        return query_tracks(project, queries, settings, device=session.device, progress=session.progress)
    return load_tracks(path or default)
