"""`omnitrack render`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.options import HERE, Assignments, Output, ProjectArgument, style_option
from omnitrack.cli.session import Session
from omnitrack.stages.render_styles import STYLES, TRACK_STYLES

EXAMPLES = """
omnitrack render clip                           the tracks of the last query as an overlay
omnitrack render clip --style trails --remove-camera-motion -o trails.gif
omnitrack render clip --style canonical         does each surface keep its colour?
omnitrack render clip --style depth -o depth/   a folder of PNG
omnitrack render clip --style edit --edit logo.png --frame 0
omnitrack render clip --style stabilise         hold the camera still; --point 120,64@0: a point
omnitrack render clip --style matte --mask cat.png@0 -o matte.mp4
omnitrack render clip --style points --labels names.csv --side-by-side
omnitrack render clip --labels cells.png@0      colours from a label image of frame 0
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    style: Annotated[str, style_option(*STYLES)] = "trails",
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tracks to draw.", show_default="PROJECT/tracks/tracks.npz"),
    ] = None,
    frame: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="T",
            help="Draw a grid of points of this frame instead; with --edit, the frame drawn on; for stabilise, the "
            "frame that stays unchanged.",
        ),
    ] = None,
    edit: Annotated[
        Path | None,
        typer.Option(metavar="IMAGE", help="For --style edit: a drawing on the whole frame T, as PNG with alpha."),
    ] = None,
    point: Annotated[
        str | None, typer.Option(metavar="X,Y@T", help="For --style stabilise: the point to hold still.")
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="M.png@T", help="For stabilise, the object to hold still; for matte, the object that is white."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[@T]",
            help="A table with a label for each track (track,label), or a label image of frame T (grey values or a "
            "palette, 0 is background): colours and names.",
        ),
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0, metavar="FPS", help="Frames per second.", show_default="the project's")
    ] = None,
    remove_camera_motion: Annotated[
        bool, typer.Option("--remove-camera-motion", help="Remove the camera's motion from trails.")
    ] = False,
    side_by_side: Annotated[
        bool, typer.Option("--side-by-side", help="Show the original frame to the left of the drawing.")
    ] = False,
    output: Output = None,
    assignments: Assignments = None,
) -> None:
    """Draw tracks, the fitted motion or a drawing of your own as a video.

    Hidden points are drawn as rings; a drawing moves with its surface and is hidden where the surface is hidden.
    stabilise holds the camera, a point or a mask still.
    """
    from omnitrack.stages.render import render
    from omnitrack.stages.render_inputs import RenderInputs
    from omnitrack.tracks.files import load_tracks

    opened = session.project(project)
    flags = {
        "render.fps": fps,
        "render.frame": frame,
        "render.remove_camera": remove_camera_motion or None,
        "render.side_by_side": side_by_side or None,
    }
    settings = session.settings(opened.settings_path, assignments, flags)
    path = tracks or opened.tracks_dir / "tracks.npz"
    last_query = frame is None and style in TRACK_STYLES and path.exists()
    drawn = load_tracks(path) if tracks or last_query else None  # None draws a grid
    inputs = RenderInputs(edit, point, mask, labels)
    session.report(render(opened, settings, drawn, style, output, session.device, session.progress, inputs))
