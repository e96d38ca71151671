"""`omnitrack run --into`: many videos, each processed as by `omnitrack run`; a failure does not affect the others."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.kept import keep
from omnitrack.project.project import SETTINGS_NAME
from omnitrack.stages.clips import Clip
from omnitrack.stages.run import RunReport, check_colors, run_all
from omnitrack.stages.run_shots import RunShotsReport, run_shots
from omnitrack.workers.contract import Executor, Job


@dataclass(frozen=True)
class RunOptions:
    """How each of many videos is taken through all stages; the options of the command line.

    Attributes:
        overrides: Settings by dotted key, which override the ``omnitrack.toml`` of an existing project.
        preset: See `omnitrack.presets`.
        grid, style, seed: As for `omnitrack.stages.run.run_all`.
        split_at_cuts: Make a project of every shot, as `omnitrack.stages.run_shots.run_shots` does.
    """

    overrides: Mapping[str, object] = field(default_factory=dict)
    preset: str | None = None
    grid: str = "20@0"
    style: str = "trails"
    seed: int = 0
    split_at_cuts: bool = False


@dataclass(frozen=True)
class ClipReport:
    """The result for one video.

    Attributes:
        video: The video as it was named.
        project: Its directory; with ``split_at_cuts`` the common name of the shots' projects.
        error, hint: Why it failed, and what to do about it; empty if it did not fail.
        runs: What was made: one report, or one per shot if the video was split.
        seconds: Wall time.
    """

    video: str
    project: str
    error: str
    hint: str
    runs: list[RunReport]
    seconds: float


@dataclass(frozen=True)
class RunManyReport:
    """What `run_many` made.

    Attributes:
        clips: The clips, in the order in which they were named.
        done: Number of clips that are done.
        failed: Number of clips that failed.
        seconds: Wall time.
    """

    clips: list[ClipReport]
    done: int
    failed: int
    seconds: float

    def failed_clips(self) -> list[str]:
        """Return a message for each failed clip: its name and the cause."""
        bad = [clip for clip in self.clips if clip.error]
        return [clip.error if clip.video in clip.error else f"{clip.video}: {clip.error}" for clip in bad]

    def failure(self) -> OmnitrackError | None:
        """Return one error for all failed clips; None if there are none."""
        told = self.failed_clips()
        if not told:
            return None
        hint = next(clip.hint for clip in self.clips if clip.error)
        words = told[0] if len(told) == 1 else f"{len(told)} of {len(self.clips)} clips failed: {'; '.join(told)}"
        return OmnitrackError(words, hint or None)


def run_many(
    clips: Sequence[Clip], options: RunOptions, executor: Executor, progress: Progress = SILENT
) -> RunManyReport:
    """Take videos through all stages; finished work is kept.

    Args:
        clips: See `omnitrack.stages.clips.find_clips`.
        options: The options for all clips.
        executor: Runs the jobs.
        progress: Receives progress updates and messages of all clips.

    Raises:
        OmnitrackError: Invalid options. Failures of single clips are in the report.
    """
    begin = time.perf_counter()
    check_colors(options.style, load_settings(overrides=options.overrides, preset=options.preset).fit)
    for clip in clips:
        keep(clip.root.parent, f"what is finished in {clip.root.parent}")
    jobs = [Job(clip.video, run_clip, (clip.video, clip.root, options)) for clip in clips]
    reports: dict[int, ClipReport] = {}
    for outcome in executor.run(jobs, progress, len(jobs)):
        clip, error = clips[outcome.number], outcome.error
        words = (error.message, error.hint or "") if error else ("", "")
        made = [] if error else outcome.result
        reports[outcome.number] = ClipReport(clip.video, str(clip.root), *words, made, outcome.seconds)
    ordered = [reports[number] for number in sorted(reports)]
    failed = sum(bool(report.error) for report in ordered)
    return RunManyReport(ordered, len(ordered) - failed, failed, time.perf_counter() - begin)


def run_clip(
    video: str, root: Path, options: RunOptions, device: str = "auto", progress: Progress = SILENT
) -> list[RunReport]:
    """Take one video through all stages, as `omnitrack run` does; return one report, or one per shot if it is split.

    Args:
        video: As for `omnitrack.stages.run.run_all`.
        root: Its project.
        options: See `RunOptions`.
        device: Device to compute on.
        progress: Receives progress updates and messages of every stage.

    Raises:
        OmnitrackError: As for `run_all`.
    """
    settings = load_settings(root / SETTINGS_NAME, options.overrides, preset=options.preset)
    common = (video, root, settings, options.grid, options.style, None, device, options.seed, progress)
    if options.split_at_cuts:
        made: RunShotsReport = run_shots(*common)
        return made.runs
    return [run_all(*common)]
