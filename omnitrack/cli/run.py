"""`omnitrack run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from omnitrack.cli.options import (
    Assignments,
    Cuts,
    End,
    Estimator,
    Fps,
    Levels,
    MaxSize,
    Method,
    NewProjectArgument,
    Output,
    Pairs,
    Preset,
    SplitAtCuts,
    Start,
    Steps,
    Stride,
    Style,
    VideoArgument,
)
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack run clip.mp4                          project ./clip, tracks and clip/renders/trails.mp4
omnitrack run clip.mp4 work --end 60 --preset accurate
omnitrack run clip.mp4 --grid 40@10 --style points -o points.gif
"""


def command(
    session: Session,
    video: VideoArgument,
    project: NewProjectArgument = None,
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
    assignments: Assignments = None,
) -> None:
    """Do everything in one go, from a video to a render.

    init, flow, filter, fit, query and render; what is done already is kept.
    """
    with session.starting():
        from omnitrack.project.project import SETTINGS_NAME
        from omnitrack.stages.run import run_all
        from omnitrack.stages.run_shots import run_shots
        from omnitrack.video.reading import default_name

    root = project or Path(default_name(video))
    flags = {
        **{"init.start": start, "init.end": end, "init.stride": stride, "init.max_size": max_size, "init.fps": fps},
        **{"init.levels": levels, "init.cuts": cuts},
        **{"flow.estimator": estimator, "flow.pairs": pairs, "fit.method": method, "fit.steps": steps},
    }
    settings = session.settings(root / SETTINGS_NAME, assignments, flags, preset)
    if split_at_cuts:
        each = run_shots(video, root, settings, grid, style, output, session.device, session.seed, session.progress)
        session.report(each, command_line("query", each.projects[0], "--point", "X,Y@T"))
        return
    report = run_all(video, root, settings, grid, style, output, session.device, session.seed, session.progress)
    session.report(report)
    if not session.as_json:
        session.say(report.output, "open this: ", "bold green")
        session.say(command_line("query", report.project, "--point", "X,Y@T"), "then try: ", "bold green")
