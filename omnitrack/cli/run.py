"""`omnitrack run`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitrack.cli.options import (
    Assignments,
    ClusterAddress,
    Cuts,
    End,
    Estimator,
    Fps,
    Jobs,
    Levels,
    MaxMemory,
    MaxSize,
    Method,
    Output,
    Pairs,
    Preset,
    SplitAtCuts,
    Start,
    Steps,
    Stride,
    Style,
)
from omnitrack.cli.session import Session, command_line
from omnitrack.config import parse_assignments
from omnitrack.errors import UsageError

if TYPE_CHECKING:
    from omnitrack.stages.run_many import RunManyReport, RunOptions

EXAMPLES = """
omnitrack run clip.mp4                          project ./clip, tracks and clip/renders/trails.mp4
omnitrack run clip.mp4 work --end 60 --preset accurate
omnitrack run clip.mp4 --grid 40@10 --style points -o points.gif
omnitrack run a.mp4 b.mp4 'shots/*.mov' --into work --jobs 4    projects work/a, work/b, ...
omnitrack run 'shots/*.mov' --into work --cluster ray://head:10001
"""

Videos = Annotated[
    list[str],
    typer.Argument(
        metavar="VIDEO",
        help="A video file, a folder of images, a glob or shot.%04d.png; then, if not named like it, the PROJECT "
        "directory to make. With --into, any number of videos.",
    ),
]
Into = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Take several videos, and make their projects in this directory, as DIR/NAME."),
]


def command(
    session: Session,
    videos: Videos,
    into: Into = None,
    jobs: Jobs = None,
    cluster: ClusterAddress = None,
    start: Start = None,
    end: End = None,
    stride: Stride = None,
    max_size: MaxSize = None,
    fps: Fps = None,
    levels: Levels = None,
    cuts: Cuts = None,
    split_at_cuts: SplitAtCuts = False,
    estimator: Estimator = None,
    pairs: Pairs = None,
    method: Method = None,
    preset: Preset = None,
    steps: Steps = None,
    grid: Annotated[str, typer.Option(metavar="N@T", help="Points to follow: N columns on frame T.")] = "20@0",
    style: Style = "trails",
    output: Output = None,
    max_memory: MaxMemory = None,
    assignments: Assignments = None,
) -> None:
    """Do everything in one go, from a video to a render.

    Runs init, flow, filter, fit, query and render; finished work is kept. If one of several videos fails, the
    reason is shown and the others continue.
    """
    with session.starting():
        from omnitrack.stages.run_many import RunOptions

    flags = {
        **{"init.start": start, "init.end": end, "init.stride": stride, "init.max_size": max_size, "init.fps": fps},
        **{"init.levels": levels, "init.cuts": cuts, "memory.max_gb": max_memory},
        **{"flow.estimator": estimator, "flow.pairs": pairs, "fit.method": method, "fit.steps": steps},
    }
    given = {key: value for key, value in flags.items() if value is not None}
    overrides = {**parse_assignments(assignments or []), **given}
    options = RunOptions(overrides, preset, grid, style, session.seed, split_at_cuts)
    if into is None:
        _one(session, *_video_and_project(videos, jobs is not None or cluster is not None), options, output)
    else:
        _many(session, videos, into, (jobs, cluster), options, output)


def _video_and_project(words: list[str], at_once: bool) -> tuple[str, Path]:
    from omnitrack.video.reading import default_name

    if len(words) > 2 or (len(words) == 2 and Path(words[1]).is_file()):
        raise UsageError(
            f"{len(words)} videos need a directory for their projects", f"for example --into work: {_into(words)}"
        )
    if at_once:
        raise UsageError("--jobs and --cluster are for several videos, and --into was not given", _into(words))
    return words[0], Path(words[1] if len(words) == 2 else default_name(words[0]))


def _into(words: list[str]) -> str:
    return command_line("run", ".", *words, "--into", "work")


def _one(session: Session, video: str, root: Path, options: RunOptions, output: Path | None) -> None:
    from omnitrack.project.project import SETTINGS_NAME
    from omnitrack.stages.run import run_all
    from omnitrack.stages.run_shots import run_shots

    settings = session.settings(root / SETTINGS_NAME, None, options.overrides, options.preset)
    common: Any = (video, root, settings, options.grid, options.style)
    common = (*common, output, session.device, session.seed, session.progress)
    if options.split_at_cuts:
        each = run_shots(*common)
        session.report(each, command_line("query", each.projects[0], "--point", "X,Y@T"))
        return
    report = run_all(*common)
    session.report(report)
    if not session.as_json:
        session.say(report.output, "open this: ", "bold green")
        session.say(command_line("query", report.project, "--point", "X,Y@T"), "then try: ", "bold green")


def _many(
    session: Session,
    videos: list[str],
    into: Path,
    spread: tuple[int | None, str | None],
    options: RunOptions,
    output: Path | None,
) -> None:
    from omnitrack.stages.clips import find_clips
    from omnitrack.stages.run_many import run_many
    from omnitrack.workers.executors import choose_executor

    if output is not None:
        raise UsageError(
            f"--output {output} is one file, and every video has its own",
            "leave it out: they go to DIR/NAME/renders",
        )
    clips = find_clips(videos, into)
    jobs, cluster = spread
    memory = session.settings(None, None, options.overrides, options.preset).memory.max_gb
    executor = choose_executor(jobs, session.device, memory, len(clips), cluster, session.progress)
    report = run_many(clips, options, executor, session.progress)
    _show(session, report)
    failure = report.failure()
    if failure is not None:
        raise failure


def _show(session: Session, report: RunManyReport) -> None:
    """Show one line per finished run and a summary, or the whole report as JSON."""
    if session.as_json:
        session.report(report)
        return
    for run in (run for clip in report.clips for run in clip.runs):
        session.say(f"{run.output}  ({run.frames} frames, {run.points} tracks)")
    session.say(f"{report.done} of {len(report.clips)} clips done in {report.seconds:.0f} s")
