"""`omnitrack run`: from a video to tracks and a render in one command; keeps what an earlier run finished."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import FRAMES_NAME, Project
from omnitrack.settings import FitSettings, Settings
from omnitrack.stages.bring_up import Brought, bring_up_to
from omnitrack.stages.estimate import announce
from omnitrack.stages.graph import NODE_OF, Work
from omnitrack.stages.init import init_project
from omnitrack.stages.query_points import build_queries
from omnitrack.stages.render import render
from omnitrack.tracks.files import save_tracks

STAGES = ("init", "flow", "filter", "fit", "query", "render")
COLOR_STYLE = "rgb"  # one of `omnitrack.stages.render_styles.FIELD_STYLES`


@dataclass(frozen=True)
class RunReport:
    """What `run_all` made.

    Attributes:
        project: The project directory.
        frames: Number of frames.
        kept: Stages that an earlier run had finished.
        tracks: The file of the tracks.
        points: Number of tracks.
        output: The rendered video.
        seconds: Wall time.
    """

    project: str
    frames: int
    kept: list[str]
    tracks: str
    points: int
    output: str
    seconds: float


def run_all(
    video: str | Path,
    root: Path,
    settings: Settings,
    grid: str = "20@0",
    style: str = "trails",
    output: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = SILENT,
) -> RunReport:
    """Take a video through init, flow, filter, fit, query and render.

    Args:
        video: As for `omnitrack.stages.init.init_project`.
        root: The project directory: a new one, or one made by an earlier run of the same video.
        settings: Settings of all stages. A new project's ``omnitrack.toml`` gets the table ``init`` only, so that
            presets and flags still apply to the other tables.
        grid: The points to track, ``N@t``.
        style: The style to draw, one of `omnitrack.stages.render_styles.STYLES`.
        output: As for `omnitrack.stages.render.render`.
        device: Device for fit and query.
        seed: Seed of the fit.
        progress: Receives progress updates and messages of every stage.

    Raises:
        OmnitrackError: `root` holds another video or other frames of it, or the method cannot show the style; any
            failure of a stage. Finished work is kept, and the same call continues from it.
    """
    begin = time.perf_counter()
    check_colors(style, settings.fit)
    existed = (root / FRAMES_NAME).exists()
    progress.plan(STAGES)
    with progress.stage("init"):
        project = video_project(video, root, settings, f"omnitrack run {video} PROJECT", progress)
    queries = build_queries(project, grids=[grid])  # before the long work, so that typing errors show at once
    work = Work(project, settings, device, seed, progress)
    announce(work, progress)
    brought = bring_up_to("fit", work)
    kept = ["init"] * existed + _kept_stages(brought)
    with progress.stage("query"):
        from omnitrack.stages.query import query_tracks  # after init, which does not need torch

        tracks = query_tracks(project, queries, settings, device=device, progress=progress)
        path = project.tracks_dir / "tracks.npz"
        save_tracks(tracks, path)
    with progress.stage("render"):
        rendered = render(project, settings, tracks, style, output, device, progress)
    seconds = time.perf_counter() - begin
    return RunReport(str(root), project.num_frames, kept, str(path), len(tracks), rendered.output, seconds)


def check_colors(style: str, settings: FitSettings) -> None:
    """Refuse, before the long work, to draw the colours of a field that will have none."""
    if style != COLOR_STYLE:
        return
    from omnitrack.optimize.methods import colored_method, get_method

    if not get_method(settings.method).has_colors:
        raise OmnitrackError(
            f"--style {style} shows the colours of the fitted field, and a field of method {settings.method} has none",
            f"fit one that has: --method {colored_method()}",
        )


def video_project(
    video: str | Path, root: Path, settings: Settings, again: str, progress: Progress = SILENT
) -> Project:
    """Return the project of a video: the one of an earlier run, or a new one.

    Args:
        video: As for `omnitrack.stages.init.init_project`.
        root: The project directory.
        settings: The table ``init`` selects the frames; a new project's ``omnitrack.toml`` gets that table only.
        again: The command that names another directory, for messages.
        progress: Receives progress updates and messages.

    Raises:
        OmnitrackError: `root` holds another video, or other frames than requested, or the video is unreadable.
    """
    if not (root / FRAMES_NAME).exists():
        init_project(video, root, replace(Settings(), init=settings.init), progress)
        return Project(root)
    project = Project(root)
    check_same_project(video, project, settings, again)
    return project


def check_same_project(video: str | Path, project: Project, settings: Settings, again: str) -> None:
    """Refuse to continue with a project of another video, or of other frames of it.

    Args:
        video: The video as it is named now.
        project: The existing project.
        settings: The table ``init`` selects the frames.
        again: The command that names another directory, for messages.

    Raises:
        OmnitrackError: The video or its frames differ.
    """
    root, source = project.root, project.meta.source
    if source != str(video) and Path(source).resolve() != Path(video).resolve():
        raise OmnitrackError(f"{root} is the project of another video, {source}", f"name another directory: {again}")
    if load_settings(project.settings_path).init != settings.init:
        raise OmnitrackError(
            f"project {root} holds other frames of {source} than the flags ask for",
            f"leave out the flags to go on with it, or name another directory: {again}",
        )


def _kept_stages(brought: Brought) -> list[str]:
    """Return the commands whose products all existed already."""
    made = {NODE_OF[name].command for name in brought.made}
    return [command for command in dict.fromkeys(NODE_OF[name].command for name in brought.kept) if command not in made]
