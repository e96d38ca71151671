"""`omnitrack demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.options import Assignments
from omnitrack.cli.session import Session

EXAMPLES = """
omnitrack demo                                  project ./omnitrack-demo
omnitrack demo /tmp/demo --json
"""

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Project directory to make.")]


def command(session: Session, directory: Directory = Path("omnitrack-demo"), assignments: Assignments = None) -> None:
    """Run everything on a clip whose motion is known.

    The clip is synthetic, so the demo can compare its accuracy with that of plain flow.
    """
    from omnitrack.cli.demo_words import introduction, measures, verdict

    session.say_lines(introduction() + "\n")
    with session.starting():
        from omnitrack.stages.demo import run_demo
    settings = session.settings(None, assignments)
    report = run_demo(directory, settings, session.device, session.seed, session.progress)
    if session.as_json:
        session.report(report)
        return
    session.say_lines(f"\n{verdict(report.things, report.method, report.frames)}\n")
    session.say_lines(f"{measures(report.results, report.method)}\n")
    session.say(report.overlay, "open this: ", "bold green")
    session.say(report.next_command, "then try: ", "bold green")
