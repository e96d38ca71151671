"""`omnitrack info`."""

from __future__ import annotations

from omnitrack.cli.options import HERE, ProjectArgument
from omnitrack.cli.session import Session

EXAMPLES = """
omnitrack info clip
omnitrack info clip --json
"""


def command(session: Session, project: ProjectArgument = HERE) -> None:
    """Show what a project holds and what to do next.

    What is stale is named with the reason and the command that renews it.
    """
    from omnitrack.stages.info import inspect_project

    session.project(project)
