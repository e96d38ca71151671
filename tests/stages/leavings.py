"""The output of stages, made without their work: for tests of what depends on it."""

from __future__ import annotations

from omnitrack.project.checkpoint import save_checkpoint
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.graph import Work, wanted_stamps

# Frames as small as the tests' have little that is distinctive, and few blank areas.
PLAIN_FLOW = {"flow.surroundings": False, "flow.descriptors.network": "none"}


def leave_filtered(project: Project, settings: Settings, seconds: float = 0.0) -> None:
    """Leave what filtering leaves, without any correspondence."""
    stamp = wanted_stamps(Work(project, settings), "filter")["filter"] or {}
    filtered_file(project).parts(stamp).merge(stamp, [], seconds)


def leave_fit(
    project: Project, settings: Settings, seed: int = 0, seconds: float = 0.0, step: int | None = None
) -> None:
    """Leave what fitting leaves, without a field: at the end, or at a step."""
    stamp = wanted_stamps(Work(project, settings, seed=seed))["fit"] or {}
    save_checkpoint(project, stamp, seconds, {"step": settings.fit.steps if step is None else step})
