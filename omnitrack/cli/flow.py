"""`omnitrack flow`."""

from __future__ import annotations

from omnitrack.cli.options import HERE, Assignments, Estimator, MaxMemory, Pairs, ProjectArgument
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack flow clip                             the default pairs, DIS flow
omnitrack flow clip --pairs exhaustive          every pair of a short clip
omnitrack flow clip --estimator raft            the RAFT network, its weights downloaded once
omnitrack flow clip --estimator tracks --set flow.tracks.path=cotracker.npz
omnitrack flow clip --set flow.dis.patch_size=12
"""


def command(
    session: Session,
    project: ProjectArgument = HERE,
    estimator: Estimator = None,
    pairs: Pairs = None,
    max_memory: MaxMemory = None,
    assignments: Assignments = None,
) -> None:
    """Compute optical flow between pairs of frames.

    Existing pairs are kept, so an interrupted run resumes where it stopped.
    """
    from omnitrack.stages.flow import compute_flow

    opened = session.project(project)
    flags = {"flow.estimator": estimator, "flow.pairs": pairs, "memory.max_gb": max_memory}
    settings = session.settings(opened.settings_path, assignments, flags)
    report = compute_flow(opened, settings, session.progress, device=session.device)
    session.report(report, command_line("filter", project))
