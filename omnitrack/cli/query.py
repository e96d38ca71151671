"""`omnitrack query`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.complete import values
from omnitrack.cli.options import HERE, Assignments, ProjectArgument, one_of
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack query clip --point 120,64@0 --point 80,40@12
omnitrack query clip --grid 20@0 -o tracks.csv
omnitrack query clip --mask cat.png@0 --frames 0:50 -o cat.npz
omnitrack query clip --points points.csv -o - | head
omnitrack query clip --point 120,64@0 --pin 0,131,66@12   corrected by hand
"""
FORMATS = ("npz", "csv", "json", "h5")
Texts = list[str] | None

Points = Annotated[Texts, typer.Option("--point", metavar="X,Y@T", help="Pixel x,y of frame T (repeatable).")]
PointsFile = Annotated[
    Path | None,
    typer.Option("--points", metavar="FILE", help="Points t,x,y from a .csv, .npy or .npz, or those of tracks."),
]
Pins = Annotated[
    Texts,
    typer.Option(
        "--pin", metavar="TRACK,X,Y@T", help="Correct a track by hand: TRACK is at x,y in frame T (repeatable)."
    ),
]
Grids = Annotated[Texts, typer.Option("--grid", metavar="N@T", help="A grid of N columns on frame T (repeatable).")]
Masks = Annotated[
    Texts, typer.Option("--mask", metavar="M.png@T", help="The marked pixels of a mask of frame T (repeatable).")
]
MaskSpacing = Annotated[int, typer.Option(min=1, metavar="N", help="Take every n-th pixel of the masks.")]
Dense = Annotated[Texts, typer.Option(metavar="T", help="Every working pixel of frame T (repeatable).")]
Frames = Annotated[
    str, typer.Option(metavar="A:B", help="Track through frames A to B - 1 only.", show_default="all frames")
]
TracksOutput = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write: .npz, .csv, .json or .h5; - is stdout.",
        show_default="PROJECT/tracks/tracks.npz",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="|".join(FORMATS),
        help="Format of the output.",
        show_default="by suffix; csv on stdout",
        callback=one_of(*FORMATS),
        autocompletion=values(*FORMATS),
    ),
]


def command(
    session: Session,
    project: ProjectArgument = HERE,
    points: Points = None,
    points_file: PointsFile = None,
    grids: Grids = None,
    masks: Masks = None,
    mask_spacing: MaskSpacing = 1,
    dense: Dense = None,
    pins: Pins = None,
    frames: Frames = ":",
    output: TracksOutput = None,
    file_format: Format = None,
    assignments: Assignments = None,
) -> None:
    """Follow points through the clip.

    Points are pixels x,y of the original video on frame T; 0,0 is the centre of the first pixel.
    A pin corrects a track (numbered from 0): it passes through the pin, and everything in between is solved again.
    """
    from omnitrack.stages.query_points import build_pins, build_queries, parse_frames
    from omnitrack.tracks.files import output_format, save_tracks

    opened = session.project(project)
    path = None if output == "-" else Path(output) if output else opened.tracks_dir / "tracks.npz"
    output_format(path, file_format)
    settings = session.settings(opened.settings_path, assignments)
    queries = build_queries(opened, points or (), points_file, grids or (), masks or (), dense or (), mask_spacing)
    pinned = build_pins(opened, points or (), points_file, pins or ())
    chosen = parse_frames(frames, opened.num_frames)
    from omnitrack.stages.query import query_tracks  # imports torch, for which no error has to wait

    tracks = query_tracks(opened, queries, settings, chosen, session.device, session.progress, pinned)
    save_tracks(tracks, path, file_format)
    if path is None:
        return
    report = {
        "tracks": len(tracks),
        "frames": len(chosen),
        "visible": float(tracks.visible.mean()),
        "output": str(path),
    }
    session.report(report, command_line("render", project, *([] if output is None else ["--tracks", output])))
