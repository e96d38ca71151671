"""Arguments and options that several commands share; the options of all commands are in `omnitrack.cli.command`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from omnitrack.cli import complete
from omnitrack.errors import OmnitrackError
from omnitrack.memory import parse_gb
from omnitrack.presets import DEFAULTS, PRESETS
from omnitrack.stages.render_styles import NEED_INPUT, STYLES

HERE = Path()
METHODS = tuple(DEFAULTS)

Value = TypeVar("Value", str, list[str], None)


def one_of(*choices: str) -> Callable[[Value], Value]:
    """Return a check that every value is one of `choices`; anything else is a usage error with a suggestion."""

    def check(value: Value) -> Value:
        words: list[str] = [value] if isinstance(value, str) else value or []
        for word in words:
            if word not in choices:
                close = difflib.get_close_matches(word, choices, n=1)
                guess = f". Did you mean {close[0]}?" if close else ""
                raise typer.BadParameter(f"{word!r} is not one of {', '.join(choices)}{guess}")
        return value

    return check


ProjectArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PROJECT",
        help="Project directory.",
        show_default="the current directory",
        autocompletion=complete.projects,
    ),
]
VideoArgument = Annotated[
    str, typer.Argument(metavar="VIDEO", help="A video file, a folder of images, a glob or shot.%04d.png.")
]


def _gigabytes(value: str | None) -> str | None:
    """Convert an amount of memory to the form of the setting."""
    try:
        return None if value is None else str(parse_gb(value))
    except OmnitrackError as error:
        raise typer.BadParameter(error.message) from error


MaxMemory = Annotated[
    str | None,
    typer.Option(
        metavar="8GB",
        help="Memory that a clip in progress may use; frames too large for it are processed at a smaller size.",
        show_default="4GB",
        callback=_gigabytes,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Videos at a time, each on its share of this machine.", show_default="1"),
]
ClusterAddress = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="local|ray://HOST:PORT",
        help="Distribute the videos over the machines of a Ray cluster; --jobs limits how many at a time.",
        autocompletion=complete.values("local", "auto", "ray://"),
    ),
]
NewProjectArgument = Annotated[
    Path | None,
    typer.Argument(metavar="PROJECT", help="Project directory to make.", show_default="the video's name"),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any setting of omnitrack.toml, as table.key=value (repeatable).",
        autocompletion=complete.setting_keys,
    ),
]

# --- which frames (init, run) -----------------------------------------------------------------------------------
Start = Annotated[int | None, typer.Option(min=0, metavar="N", help="First frame to take.")]
End = Annotated[int | None, typer.Option(min=0, metavar="N", help="Frame to stop before.")]
Stride = Annotated[int | None, typer.Option(min=1, metavar="N", help="Take every n-th frame.")]
MaxSize = Annotated[
    int | None, typer.Option(min=0, metavar="PX", help="Longest side of the working frames; 0 keeps the video's.")
]
Cuts = Annotated[
    str | None,
    typer.Option(
        metavar="auto|none|T,T", help="Where shots begin: detected, nowhere, or at these frames of the project."
    ),
]
SplitAtCuts = Annotated[bool, typer.Option("--split-at-cuts", help="Make one project of each shot: PROJECT-01, ...")]
Fps = Annotated[float | None, typer.Option(min=0, metavar="FPS", help="Frames per second of the project.")]
Levels = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Stored values that become black and white; auto: the range in use."),
]

# --- how to measure and fit (flow, fit, run, eval) --------------------------------------------------------------
Estimator = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Flow estimator: dis, raft, tracks or a plug-in.", autocompletion=complete.estimators
    ),
]
Pairs = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="Frame pairs: auto (log, keyframe in long shots), log, exhaustive, window:N or keyframe.",
        autocompletion=complete.values(*complete.PAIRS),
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(METHODS),
        help="The motion model.",
        callback=one_of(*METHODS),
        autocompletion=complete.values(*METHODS),
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(PRESETS),
        help="Settings to start from: the quickest, the best, or as published.",
        callback=one_of(*PRESETS),
        autocompletion=complete.values(*PRESETS),
    ),
]
Steps = Annotated[int | None, typer.Option(min=1, metavar="N", help="Optimisation steps.")]


def style_option(*styles: str) -> Any:
    """Return the option --style with these choices."""
    return typer.Option(
        metavar="STYLE",
        help=f"What to draw: {', '.join(styles)}.",
        callback=one_of(*styles),
        autocompletion=complete.values(*styles),
    )


Style = Annotated[str, style_option(*(name for name in STYLES if name not in NEED_INPUT))]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write: .mp4, .webm, .gif, .webp, or a folder for PNG.",
        show_default="PROJECT/renders/STYLE.mp4",
    ),
]
