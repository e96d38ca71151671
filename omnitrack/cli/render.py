"""`omnitrack render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.options import HERE, Assignments, Output, ProjectArgument, Style
from omnitrack.cli.session import Session

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
    from omnitrack.project.tracks_io import load_tracks
    from omnitrack.stages.render import render

    opened = session.project(project)
    flags = {"render.fps": fps, "render.frame": frame, "render.remove_camera": remove_camera_motion or None}
    settings = session.settings(opened.settings_path, assignments, flags)
    path = tracks or opened.tracks_dir / "tracks.npz"
    last_query = frame is None and style not in ("flow", "depth") and path.exists()
    drawn = load_tracks(path) if tracks or last_query else None  # None draws a grid
    session.report(render(opened, settings, drawn, style, output, session.device, session.progress))
