"""`omnitrack view`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnitrack.cli import complete
from omnitrack.cli.failures import Terminated
from omnitrack.cli.options import Assignments, End, MaxSize, Preset, Start, Stride
from omnitrack.cli.session import Session, command_line
from omnitrack.errors import UsageError

if TYPE_CHECKING:
    from omnitrack.project.project import Project
    from omnitrack.settings import Settings
    from omnitrack.view.address import Address

EXAMPLES = """
omnitrack view clip                             a project; what it lacks is made meanwhile
omnitrack view clip.mp4 --end 48                a video: project ./clip, points from the flow on
omnitrack view clip --no-fit --no-browser
"""

Clip = Annotated[
    str,
    typer.Argument(
        metavar="PROJECT|VIDEO",
        help="A project, or a video to make one of.",
        show_default="the current directory",
        autocompletion=complete.projects,
    ),
]


def command(
    session: Session,
    clip: Clip = ".",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on; 0 is a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    no_fit: Annotated[bool, typer.Option("--no-fit", help="Compute flow if necessary, but do not fit.")] = False,
    start: Start = None,
    end: End = None,
    stride: Stride = None,
    max_size: MaxSize = None,
    preset: Preset = None,
    assignments: Assignments = None,
) -> None:
    """Click on anything and see where it goes, on a page in the browser.

    The page is for this machine and this user only. Ctrl-C stops it; the points are kept in the project.
    """
    from omnitrack.view.server import check_installed, serve

    check_installed()
    flags = {"init.start": start, "init.end": end, "init.stride": stride, "init.max_size": max_size}
    project, settings = _opened(session, clip, flags, assignments, preset)

    def announce(address: Address) -> None:
        if session.as_json:
            session.data({"url": address.url, "project": str(project.root)})
        else:
            typer.echo(address.url)
        sys.stdout.flush()
        session.say("Ctrl-C stops it; the points are kept in the project")
        if not no_browser:
            address.show()

    try:
        serve(project, settings, session.device, session.seed, "hops" if no_fit else "fit", port, announce)
    except KeyboardInterrupt as stopped:
        if isinstance(stopped, Terminated):
            raise
        session.say("stopped; finished work is saved")


def _opened(
    session: Session, clip: str, flags: dict[str, int | None], assignments: list[str] | None, preset: str | None
) -> tuple[Project, Settings]:
    """Open the project `clip`, or make one from the video `clip`; return it with its settings."""
    from omnitrack.project.project import FRAMES_NAME, SETTINGS_NAME, Project

    root, given = Path(clip), [name for name, value in flags.items() if value is not None]
    if clip == "." or (root / FRAMES_NAME).is_dir():
        if given:
            option = given[0].removeprefix("init.").replace("_", "-")
            raise UsageError(f"--{option} chooses frames of a video, and {clip} is a project", "leave it out")
        return Project(root), session.settings(root / SETTINGS_NAME, assignments, preset=preset)
    from omnitrack.stages.run import video_project
    from omnitrack.video.reading import default_name

    root = Path(default_name(clip))
    settings = session.settings(root / SETTINGS_NAME, assignments, flags, preset)
    again = command_line("init", clip, "PROJECT")
    return video_project(clip, root, settings, again, session.progress), settings
