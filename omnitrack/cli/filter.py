"""`omnitrack filter`."""

from __future__ import annotations

from omnitrack.cli.options import HERE, Assignments, MaxMemory, ProjectArgument
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack filter clip
omnitrack filter clip --json                    statistics as JSON
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    max_memory: MaxMemory = None,
    assignments: Assignments = None,
) -> None:
    """Decide which matches to trust.

    Cycle, appearance and occlusion checks, and chaining over several gaps, give every match a confidence.
    """
    from omnitrack.stages.filter import filter_flow

    opened = session.project(project)
    settings = session.settings(opened.settings_path, assignments, {"memory.max_gb": max_memory})
    report = filter_flow(opened, settings, session.progress, session.device)
    session.report(report, command_line("fit", project))
