"""`omnitrack plot`: diagrams of tracks, of a fit and of an evaluation, as files."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrack.errors import OmnitrackError
from omnitrack.plotting.diagram import Diagram
from omnitrack.plotting.evaluation import evaluation_page
from omnitrack.plotting.figures import check_plot, save_figure
from omnitrack.plotting.fit import loss_page
from omnitrack.plotting.tracks import MOST_LINES, PIXELS, Scale, track_page
from omnitrack.project.project import Project
from omnitrack.stages.plot_kinds import EVAL_PLOT, LOSS_PLOT, MANY_PLOTS, MICROMETRES, TRACK_PLOTS
from omnitrack.stages.track_labels import names_of
from omnitrack.tracks.tracks import Tracks

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class PlotReport:
    """What `plot` drew.

    Attributes:
        plot: One of `omnitrack.stages.plot_kinds.PLOTS`.
        output: The file.
        seconds: Wall time.
    """

    plot: str
    output: str
    seconds: float


def scale_of(per_px: float | None, unit: str | None) -> Scale:
    """Return the unit of lengths: pixels if the length of a pixel is not given, micrometres if only its unit is not."""
    return PIXELS if per_px is None else Scale(per_px, unit or MICROMETRES)


def plot_tracks(
    tracks: Tracks, plot: str, output: Path, scale: Scale = PIXELS, labels: str | None = None
) -> PlotReport:
    """Draw tracks over time: a few tracks in one diagram per quantity, many as a page of small multiples.

    Args:
        tracks: The tracks to draw.
        plot: One of `TRACK_PLOTS`.
        output: A .png, .svg or .pdf.
        scale: The unit of lengths.
        labels: A table of names or an image of labels, see `omnitrack.stages.track_labels`; None numbers the tracks
            from 0.

    Raises:
        OmnitrackError: No tracks, an invalid scale, unusable labels, no matplotlib, or a file that cannot be written.
    """
    began = time.perf_counter()
    check_plot(output)
    save_figure(_track_figure(tracks, plot, scale, labels), output)
    return PlotReport(plot, str(output), time.perf_counter() - began)


def track_diagram(tracks: Tracks, plot: str, scale: float | None, unit: str | None) -> Diagram:
    """Draw the same as `plot_tracks`, for a notebook; for arguments and errors see `Tracks.plot`."""
    if plot not in TRACK_PLOTS:
        raise OmnitrackError(f"there is no plot {plot!r} of tracks", f"known: {', '.join(TRACK_PLOTS)}")
    return Diagram(_track_figure(tracks, plot, scale_of(scale, unit)))


def _track_figure(tracks: Tracks, plot: str, scale: Scale, labels: str | None = None) -> Figure:
    if not len(tracks) or not len(tracks.frames):
        raise OmnitrackError("there are no tracks to draw", "track some: omnitrack query PROJECT --grid 20@0")
    if not 0 < scale.per_px < math.inf:
        raise OmnitrackError(f"{scale.per_px:g} {scale.unit} per pixel is not a scale", "for example --scale 0.65")
    quantities = (TRACK_PLOTS if len(tracks) <= MOST_LINES else MANY_PLOTS)[plot]
    return track_page(tracks, names_of(labels, tracks), quantities, scale)


def plot_losses(project: Project, output: Path) -> PlotReport:
    """Draw the losses of a project's last fit, which may still be running.

    Raises:
        OmnitrackError: Nothing has been fitted, no matplotlib, or a file that cannot be written.
    """
    began = time.perf_counter()
    check_plot(output)
    reports = list(_reports(project.metrics_path))
    if not reports:
        from omnitrack.project.checkpoint import step_towards_a_fit  # imports torch

        raise OmnitrackError(f"project {project.root} has no record of a fit", step_towards_a_fit(project))
    steps, losses, errors = zip(*reports, strict=True)
    save_figure(loss_page(steps, losses, errors), output)
    return PlotReport(LOSS_PLOT, str(output), time.perf_counter() - began)


def plot_results(results: Mapping[str, Any], output: Path) -> PlotReport:
    """Draw an evaluation by threshold and by clip.

    Args:
        results: As returned by `omnitrack.evaluation.results.read_results`.
        output: A .png, .svg or .pdf.

    Raises:
        OmnitrackError: No matplotlib, or a file that cannot be written.
    """
    began = time.perf_counter()
    save_figure(evaluation_page(results), output)
    return PlotReport(EVAL_PLOT, str(output), time.perf_counter() - began)


def _reports(path: Path) -> Iterator[tuple[int, dict[str, float], float]]:
    """Yield step, losses and error of each line of a fit's record; skip invalid and half-written lines."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            found = json.loads(line)
            yield (
                int(found["step"]),
                {str(name): float(value) for name, value in found["losses"].items()},
                float(found["error_px"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            continue
