"""`omnitrack plot`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitrack.cli.complete import values
from omnitrack.cli.options import HERE, ProjectArgument, one_of
from omnitrack.cli.session import Session
from omnitrack.errors import UsageError
from omnitrack.stages.plot_kinds import EVAL_PLOT, LOSS_PLOT, MICROMETRES, PLOTS, TRACK_PLOTS

if TYPE_CHECKING:
    from omnitrack.stages.plot import PlotReport

EXAMPLES = """
omnitrack plot clip                     the last query: x, y, speed and confidence over time
omnitrack plot clip --of losses         how the fit went
omnitrack plot --tracks cells.csv --of speed --scale 0.65 --unit um -o cells.pdf
omnitrack plot --results results.json   an evaluation by threshold, and clip by clip
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    plot: Annotated[
        str | None,
        typer.Option(
            "--of",
            metavar="|".join(PLOTS),
            help="What to plot.",
            show_default="tracks; eval with --results",
            callback=one_of(*PLOTS),
            autocompletion=values(*PLOTS),
        ),
    ] = None,
    tracks: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Tracks to plot; no project is needed.", show_default="PROJECT/tracks/tracks.npz"
        ),
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Results of an evaluation: omnitrack eval DATASET -o FILE.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE[@T]",
            help="A table with a name for each track (track,label), or a label image of frame T.",
        ),
    ] = None,
    scale: Annotated[
        float | None, typer.Option(metavar="UNIT_PER_PX", help="Length of one pixel, in the unit that --unit names.")
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the unit of --scale.", show_default=MICROMETRES)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where to write: .png, .svg or .pdf.",
            show_default="PROJECT/plots/NAME.png, or beside the file",
        ),
    ] = None,
) -> None:
    """Draw tracks over time, the losses of a fit or an evaluation as diagrams.

    A few tracks share one diagram; many are drawn on a page of small ones. Needs matplotlib, an extra.
    """
    if unit is not None and scale is None:
        raise UsageError(f"--unit {unit} needs the length of a pixel in it", f"for example --scale 0.65 --unit {unit}")
    of_tracks = {"--tracks": tracks, "--labels": labels, "--scale": scale}
    plot = _checked(plot, results, [flag for flag, value in of_tracks.items() if value is not None])
    if results is not None:
        session.report(_evaluation(results, output))
    elif plot == LOSS_PLOT:
        from omnitrack.stages.plot import plot_losses

        opened = session.project(project)
        session.report(plot_losses(opened, output or opened.plots_dir / f"{plot}.png"))
    else:
        session.report(_tracks(session, project, plot, tracks, labels, (scale, unit), output))


def _checked(plot: str | None, results: Path | None, of_tracks: list[str]) -> str:
    """Return the plot to draw; refuse results or track options that do not fit it."""
    plot = plot or (EVAL_PLOT if results is not None else "tracks")
    if plot == EVAL_PLOT and results is None:
        raise UsageError(f"--of {EVAL_PLOT} needs --results FILE", "make it: omnitrack eval DATASET -o results.json")
    if plot != EVAL_PLOT and results is not None:
        raise UsageError(f"--results is for --of {EVAL_PLOT}, not for --of {plot}", "leave one of them out")
    if plot not in TRACK_PLOTS and of_tracks:
        raise UsageError(f"{of_tracks[0]} is for --of {', '.join(TRACK_PLOTS)}, not for --of {plot}", "leave it out")
    return plot


def _evaluation(results: Path, output: Path | None) -> PlotReport:
    from omnitrack.evaluation.results import read_results
    from omnitrack.stages.plot import plot_results

    return plot_results(read_results(results), output or _beside(results, EVAL_PLOT))


def _tracks(
    session: Session,
    project: Path,
    plot: str,
    tracks: Path | None,
    labels: str | None,
    scale: tuple[float | None, str | None],
    output: Path | None,
) -> PlotReport:
    from omnitrack.stages.last_tracks import last_tracks
    from omnitrack.stages.plot import plot_tracks, scale_of
    from omnitrack.tracks.files import load_tracks

    opened = session.project(project) if tracks is None or project != HERE else None
    if tracks is not None:
        found, default = load_tracks(tracks), _beside(tracks, plot)
    elif opened is not None:
        found, default = last_tracks(opened), opened.plots_dir / f"{plot}.png"
    if opened is not None and not found.fps:  # a .csv does not store it
        found = replace(found, fps=opened.meta.fps)
    return plot_tracks(found, plot, output or default, scale_of(*scale), labels)


def _beside(path: Path, plot: str) -> Path:
    return path.with_name(f"{path.stem}-{plot}.png")
