"""`omnitrack fit`."""

from __future__ import annotations

from typing import Annotated

import typer

from omnitrack.cli.options import HERE, Assignments, Method, Preset, ProjectArgument, Steps
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack fit clip
omnitrack fit clip --preset accurate --device cuda
omnitrack fit clip --resume                     go on after Ctrl-C
omnitrack fit clip --steps 500 --set fit.anchors=512
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    method: Method = None,
    preset: Preset = None,
    steps: Steps = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    assignments: Assignments = None,
) -> None:
    """Fit the motion field to the matches.

    Metrics go to fit/metrics.jsonl. Checkpoints are kept, on Ctrl-C too: go on with --resume.
    """
    from omnitrack.stages.fit import fit_field

    opened = session.project(project)
    flags = {"fit.method": method, "fit.steps": steps}
    settings = session.settings(opened.settings_path, assignments, flags, preset)
    report = fit_field(opened, settings, session.device, session.seed, resume, session.progress)
    session.report(report, command_line("query", project, "--grid", "16@0"))
