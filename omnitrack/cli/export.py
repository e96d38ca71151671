"""`omnitrack export`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitrack.cli.complete import export_formats, values
from omnitrack.cli.options import HERE, ProjectArgument, one_of
from omnitrack.cli.session import Session
from omnitrack.errors import UsageError
from omnitrack.export.contract import HIDDEN
from omnitrack.export.formats import BUILT_IN, DENSE

if TYPE_CHECKING:
    from omnitrack.project.project import Project
    from omnitrack.stages.export_dense import DenseReport

EXAMPLES = """
omnitrack export clip -o tracks.nk                       a Nuke Tracker4 node
omnitrack export clip --as blender --names nose,ear -o markers.py
omnitrack export clip --tracks four.npz --as nuke-cornerpin --first-frame 1001 -o pin.nk
omnitrack export clip --as napari --scale 0.325 --unit um -o cells.csv
omnitrack export clip --as stmap --frame 24 -o maps/
omnitrack export clip --matte actor.png@24 -o mattes/
"""


def _bits(value: int | None) -> int | None:
    if value not in (None, 16, 32):
        raise typer.BadParameter(f"{value} is not 16 or 32")
    return value


TracksFile = Annotated[
    Path | None,
    typer.Option("--tracks", metavar="FILE", help="Tracks to export.", show_default="PROJECT/tracks/tracks.npz"),
]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="FILE", help="Where to write; - is stdout, and dense formats take a folder."
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="FORMAT",
        help=f"Of tracks: {', '.join(BUILT_IN)}, npz, csv, json, h5. Of every pixel: {', '.join(DENSE)}.",
        show_default="by suffix",
        autocompletion=export_formats,
    ),
]
FirstFrame = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of the project's first frame.",
        show_default="that of its image, or as the format counts the video",
    ),
]
Hidden = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(HIDDEN),
        help="Hidden points: left out, kept where seen last, or written with a mark.",
        show_default="by format",
        callback=one_of(*HIDDEN),
        autocompletion=values(*HIDDEN),
    ),
]
MinConfidence = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, metavar="C", help="Points with less confidence than this count as hidden.", show_default="0"
    ),
]
Names = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Names of the tracks, or a file with one per line.", show_default="track_0000"),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="FILE[@T]",
        help="Name tracks by a table track,label or by a label image of frame T.",
    ),
]
Scale = Annotated[float | None, typer.Option(metavar="UNITS", help="Units per pixel.", show_default="1")]
Unit = Annotated[str | None, typer.Option(metavar="um|mm|...", help="Unit of lengths.", show_default="px")]
Frame = Annotated[
    int | None,
    typer.Option(
        min=0, metavar="T", help="For stmap, camera: the frame that the others are mapped to.", show_default="0"
    ),
]
Matte = Annotated[str | None, typer.Option(metavar="M.png@T", help="A matte of frame T, to be carried to all frames.")]
Bits = Annotated[
    int | None,
    typer.Option(
        metavar="16|32",
        help="Bits per channel of EXR images; a matte is then written as EXR.",
        show_default="32 of stmap, else 16",
        callback=_bits,
    ),
]


def command(
    session: Session,
    project: ProjectArgument = HERE,
    tracks: TracksFile = None,
    output: Output = None,
    name: Format = None,
    first_frame: FirstFrame = None,
    hidden: Hidden = None,
    min_confidence: MinConfidence = None,
    names: Names = None,
    labels: Labels = None,
    scale: Scale = None,
    unit: Unit = None,
    frame: Frame = None,
    matte: Matte = None,
    bits: Bits = None,
) -> None:
    """Write tracks, or the field's motion of every pixel, in formats of other programs.

    Coordinates, frame numbers and marks follow the target's conventions: y up from the bottom left corner for Nuke and
    Blender, y down from a pixel's centre for napari, fractions of the frame for TAP-Vid.
    """
    path = None if output is None or output == "-" else Path(output)
    opened = session.project(project)
    of_tracks: dict[str, object] = {"--tracks": tracks, "--hidden": hidden, "--names": names, "--labels": labels}
    of_tracks |= {"--min-confidence": min_confidence, "--scale": scale, "--unit": unit}
    if name in DENSE or matte is not None:
        _refuse(of_tracks, f"tracks, not for {name or 'matte'}")
        session.report(_export_field(session, opened, name or "matte", path, _matte(matte, frame), bits, first_frame))
        return
    _refuse({"--frame": frame, "--bits": bits}, f"{', '.join(DENSE)} only")
    from omnitrack.stages.export import export_file, parse_names

    given = {
        "first_frame": first_frame,
        "hidden": hidden,
        "min_confidence": min_confidence,
        "scale": scale,
        "unit": unit,
        "labels": labels,
    }
    options = {key: value for key, value in given.items() if value is not None}
    report = export_file(opened, tracks, path, name, {**options, "names": parse_names(names)})
    if report.output != "-":
        session.report(report)


def _matte(matte: str | None, frame: int | None) -> tuple[Path | None, int]:
    """Return a matte's image and frame; without a matte, None and the frame of --frame."""
    from omnitrack.stages.export_dense import parse_matte

    if matte is None:
        return None, frame or 0
    _refuse({"--frame": frame}, "what has no matte, which says its frame itself")
    return parse_matte(matte)


def _export_field(
    session: Session,
    project: Project,
    name: str,
    path: Path | None,
    marked: tuple[Path | None, int],
    bits: int | None,
    first_frame: int | None,
) -> DenseReport:
    from omnitrack.stages.export_dense import DenseOptions, export_dense

    if path is None:
        example = f"{name}{DENSE[name]}" if "camera" in name else f"{name}/"
        raise UsageError(f"{name} cannot go to standard output", f"name a place: -o {example}")
    options = DenseOptions(marked[1], marked[0], bits, first_frame)
    return export_dense(project, name, path, options, session.device, session.progress)


def _refuse(options: Mapping[str, object], what: str) -> None:
    for option, value in options.items():
        if value is not None:
            raise UsageError(f"{option} is for {what}", f"leave out {option}")
