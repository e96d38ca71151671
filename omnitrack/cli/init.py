"""`omnitrack init`."""

from __future__ import annotations

from omnitrack.cli.options import (
    Assignments,
    Cuts,
    End,
    Fps,
    Levels,
    MaxMemory,
    MaxSize,
    NewProjectArgument,
    SplitAtCuts,
    Start,
    Stride,
    VideoArgument,
)
from omnitrack.cli.session import Session, command_line

EXAMPLES = """
omnitrack init clip.mp4                         project ./clip
omnitrack init clip.mp4 work --end 100          its first 100 frames
omnitrack init 'frames/*.png' work --fps 25     a glob of images
omnitrack init shot.%04d.exr work               numbered images, also as shot.####.exr
omnitrack init cells.tif work --levels 100,900  its values 100 to 900 from black to white
omnitrack init film.mp4 --split-at-cuts         projects film-01, film-02, ..., one of each shot
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
    max_memory: MaxMemory = None,
    assignments: Assignments = None,
) -> None:
    """Make a project directory from a video.

    It contains the frames and a commented omnitrack.toml. An existing project is never overwritten.
    """
    from omnitrack.stages.init import init_project
    from omnitrack.stages.shots import init_shots

    frames = {"start": start, "end": end, "stride": stride, "cuts": cuts}
    flags = {**frames, "max_size": max_size, "fps": fps, "levels": levels}
    given = {"memory.max_gb": max_memory, **{f"init.{name}": value for name, value in flags.items()}}
    settings = session.settings(None, assignments, given)
    if split_at_cuts:
        shots = init_shots(video, project, settings, session.progress)
        session.report(shots, command_line("flow", shots.projects[0]))
        return
    report = init_project(video, project, settings, session.progress)
    session.report(report, command_line("flow", report.project))
