"""`omnitrack run --split-at-cuts`: tracks and a render for every shot of a video."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.run import RunReport, check_colors, check_same_project, run_all
from omnitrack.stages.shots import init_shots, shot_projects


@dataclass(frozen=True)
class RunShotsReport:
    """What `run_shots` made.

    Attributes:
        projects: The shots' projects.
        runs: The report of `run_all` for each project.
        seconds: Wall time.
    """

    projects: list[str]
    runs: list[RunReport]
    seconds: float


def run_shots(
    video: str | Path,
    root: Path,
    settings: Settings,
    grid: str = "20@0",
    style: str = "trails",
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = SILENT,
) -> RunShotsReport:
    """Make a project of every shot of a video and take each through all stages; finished work is kept.

    Args: as for `omnitrack.stages.run.run_all`, with `root` as for `omnitrack.stages.shots.init_shots`.

    Raises:
        UsageError: `output` is one file, and every shot has its own.
        OmnitrackError: As for `run_all`, for any shot.
    """
    begin = time.perf_counter()
    if output is not None:
        raise UsageError(
            f"--output {output} is one file, and every shot has its own", "leave it out: they go to PROJECT-NN/renders"
        )
    check_colors(style, settings.fit)
    projects = shot_projects(root)
    if not projects:
        init_shots(video, root, replace(Settings(), init=settings.init), progress)
        projects = shot_projects(root)
    first = projects[0]
    if int(first.name.rpartition("-")[2]) != 1:  # an `init` killed at its end, or a user, left only some of them
        raise OmnitrackError(
            f"{first} is there, and not the projects of the shots before it", "name others, or remove what is left"
        )
    taken = []
    for path in projects:
        shot = load_settings(Project(path).settings_path).init
        asked = replace(settings.init, start=shot.start, end=shot.end, cuts=shot.cuts)
        check_same_project(video, Project(path), replace(settings, init=asked), f"omnitrack run {video} PROJECT")
        taken.append(replace(settings, init=asked))
    runs = []
    for number, (path, own) in enumerate(zip(projects, taken, strict=True), 1):
        progress.note(f"shot {number} of {len(projects)}: {path}")
        runs.append(run_all(video, path, own, grid, style, None, device, seed, progress))
    return RunShotsReport([*map(str, projects)], runs, time.perf_counter() - begin)
