"""`omnitrack export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.complete import values
from omnitrack.cli.options import HERE, ProjectArgument, one_of
from omnitrack.cli.session import Session
from omnitrack.export.contract import HIDDEN
from omnitrack.export.formats import format_names

EXAMPLES = """
omnitrack export clip -o tracks.nk                       a Nuke Tracker4 node
omnitrack export clip --as blender --names nose,ear -o markers.py
omnitrack export clip --tracks four.npz --as nuke-cornerpin --first-frame 1001 -o pin.nk
omnitrack export clip --as napari --scale 0.325 --unit um -o cells.csv
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    tracks: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Tracks to export.", show_default="PROJECT/tracks/tracks.npz"),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where to write; - is stdout.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="FORMAT",
            help=f"{', '.join(format_names())}; or npz, csv, json, h5.",
            show_default="by suffix",
            autocompletion=values(*format_names()),
        ),
    ] = None,
    first_frame: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Number of the project's first frame.",
            show_default="that of its image, or as the format counts the video",
        ),
    ] = None,
    hidden: Annotated[
        str | None,
        typer.Option(
            metavar="|".join(HIDDEN),
            help="Hidden points: left out, kept where seen last, or written with a mark.",
            show_default="by format",
            callback=one_of(*HIDDEN),
            autocompletion=values(*HIDDEN),
        ),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, metavar="C", help="Points less sure than this count as hidden.")
    ] = 0.0,
    names: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Names of the tracks, or a file of one a line.", show_default="track_0000"),
    ] = None,
    scale: Annotated[float, typer.Option(metavar="UNITS", help="Units per pixel.")] = 1.0,
    unit: Annotated[str, typer.Option(metavar="um|mm|...", help="Unit of lengths.")] = "px",
) -> None:
    """Write tracks as other programs read them.

    Coordinates, frame numbers and marks are the target's own: y up from the bottom left corner for Nuke and Blender,
    y down from a pixel's centre for napari, fractions of the frame for TAP-Vid.
    """
    from omnitrack.stages.export import export_file, parse_names

    opened = session.project(project)
    options = {
        "first_frame": first_frame,
        "hidden": hidden,
        "min_confidence": min_confidence,
        "names": parse_names(names),
        "scale": scale,
        "unit": unit,
    }
    path = None if output is None or output == "-" else Path(output)
    report = export_file(opened, tracks, path, name, options)
    if report.output != "-":
        session.report(report)
