"""`omnitrack fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitrack.cli.options import HERE, Assignments, Method, Preset, ProjectArgument, Steps
from omnitrack.cli.session import Session, command_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from omnitrack.project.project import Project

VIEW = "view"
EXAMPLES = """
omnitrack fit clip
omnitrack fit clip --preset accurate --device cuda
omnitrack fit clip --resume                     continue after Ctrl-C
omnitrack fit clip --resume --pins corrected.npz   take in what was corrected by hand
omnitrack fit clip --steps 500 --set fit.anchors=512
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    method: Method = None,
    preset: Preset = None,
    steps: Steps = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    pins: Annotated[
        str | None,
        typer.Option(
            metavar="TRACKS|view", help="Also fit to the pins of a file of tracks, or of the page of omnitrack view."
        ),
    ] = None,
    assignments: Assignments = None,
) -> None:
    """Fit the motion field to the matches.

    Metrics go to fit/metrics.jsonl. Checkpoints are saved, also on Ctrl-C: continue with --resume. With --resume --pins
    only the last part of a fit is repeated, and the field passes through the positions that were set by hand.
    """
    opened = session.project(project)
    flags = {"fit.method": method, "fit.steps": steps}
    settings = session.settings(opened.settings_path, assignments, flags, preset)
    pinned = None if pins is None else _pins(opened, pins)
    from omnitrack.stages.fit import fit_field  # imports torch, for which no error has to wait

    report = fit_field(opened, settings, session.device, session.seed, resume, session.progress, pinned)
    session.report(report, command_line("query", project, "--grid", "16@0"))


def _pins(project: Project, source: str) -> NDArray[np.float32]:
    """Read the pins of a file of tracks, or of the page of omnitrack view."""
    from omnitrack.stages.fit_pins import pairs_of_pins, read_pins

    if source != VIEW:
        return read_pins(project, Path(source))
    from omnitrack.view.points import PointList, as_rows

    _, points = PointList(project).get()
    return pairs_of_pins(project, *as_rows(points), f"the page of {project.root}")
