"""`omnitrack run`: from a video to tracks and a render in one go, keeping what an earlier run finished."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.methods import colored_method, get_method
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import FRAMES_NAME, Project
from omnitrack.settings import FitSettings, Settings
from omnitrack.stages.bring_up import Brought, bring_up_to
from omnitrack.stages.estimate import announce
from omnitrack.stages.graph import NODE_OF, Work
from omnitrack.stages.init import init_project
from omnitrack.stages.query import query_tracks
from omnitrack.stages.query_points import build_queries
from omnitrack.stages.render import render
from omnitrack.tracks.files import save_tracks

STAGES = ("init", "flow", "filter", "fit", "query", "render")
COLOR_STYLE = "rgb"  # of `omnitrack.stages.render_styles.FIELD_STYLES`


@dataclass(frozen=True)
class RunReport:
    """What `run_all` made.

    Attributes:
        project: The project directory.
        frames: Number of frames.
        kept: Stages that an earlier run had finished.
        tracks: File of the tracks.
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
        root: The project directory, to be made or made by an earlier run of the same video.
        settings: Of all stages. The new project's ``omnitrack.toml`` gets the table ``init`` only, so that the others
            stay open to presets and flags.
        grid: The points to follow, ``N@t``.
        style: What to draw, one of `omnitrack.stages.render_styles.STYLES`.
        output: As for `omnitrack.stages.render.render`.
        device: Where to fit and query.
        seed: Of the fit.
        progress: Hears of every stage.

    Raises:
        OmnitrackError: `root` holds another video or other frames of it, or the method cannot show the style; any
            failure of a stage. What was finished stays, and the same call goes on from there.
    """
    begin = time.perf_counter()
    check_colors(style, settings.fit)
    existed = (root / FRAMES_NAME).exists()
    progress.plan(STAGES)
    with progress.stage("init"):
        project = video_project(video, root, settings, f"omnitrack run {video} PROJECT", progress)
    queries = build_queries(project, grids=[grid])  # before the long work, so that a typing error shows at once
    work = Work(project, settings, device, seed, progress)
    announce(work, progress)
    brought = bring_up_to("fit", work)
    kept = ["init"] * existed + _kept_stages(brought)
    with progress.stage("query"):
        tracks = query_tracks(project, queries, settings, device=device, progress=progress)
        path = project.tracks_dir / "tracks.npz"
        save_tracks(tracks, path)
    with progress.stage("render"):
        rendered = render(project, settings, tracks, style, output, device, progress)
    seconds = time.perf_counter() - begin
    return RunReport(str(root), project.num_frames, kept, str(path), len(tracks), rendered.output, seconds)


def check_colors(style: str, settings: FitSettings) -> None:
    """Refuse, before the long work, to draw the colours of a field that will have none."""
    if style == COLOR_STYLE and not get_method(settings.method).has_colors:
        raise OmnitrackError(
            f"--style {style} shows the colours of the fitted field, and a field of method {settings.method} has none",
            f"fit one that has: --method {colored_method()}",
        )


def video_project(
    video: str | Path, root: Path, settings: Settings, again: str, progress: Progress = SILENT
) -> Project:
    """The project of a video: that of an earlier run, or a new one.

    Args:
        video: As for `omnitrack.stages.init.init_project`.
        root: Its directory.
        settings: The table ``init`` says which frames; a new project's ``omnitrack.toml`` gets that table only.
        again: What to type to name another directory.
        progress: Hears of the frames.

    Raises:
        OmnitrackError: `root` holds another video, or other frames than are asked for, or the video is unreadable.
    """
    if not (root / FRAMES_NAME).exists():
        init_project(video, root, replace(Settings(), init=settings.init), progress)
        return Project(root)
    project = Project(root)
    check_same_project(video, project, settings, again)
    return project


def check_same_project(video: str | Path, project: Project, settings: Settings, again: str) -> None:
    """Refuse to go on with a project of another video, or of other frames of it.

    Args:
        video: As it is named now.
        project: The project that is there.
        settings: The table ``init`` says which frames.
        again: What to type to name another directory.

    Raises:
        OmnitrackError: It is one.
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
    """The commands of which everything was there already."""
    made = {NODE_OF[name].command for name in brought.made}
    return [command for command in dict.fromkeys(NODE_OF[name].command for name in brought.kept) if command not in made]
