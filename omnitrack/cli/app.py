"""The executable: its subcommands and its error handling."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from typing import Annotated

import typer
from typer.main import get_command

from omnitrack.cli import demo, doctor, eval, export, filter, fit, flow, info, init, plot, query, render, run, view
from omnitrack.cli.command import Group, add_command
from omnitrack.cli.console import make_console, say, show_error
from omnitrack.cli.failures import explain
from omnitrack.project.kept import forget, what_is_kept

COMMANDS = (init, flow, filter, fit, query, render, export, plot, eval, run, view, demo, info, doctor)

EXAMPLES = """
omnitrack demo                    a clip of known motion, and how well it is tracked
omnitrack run clip.mp4            everything at once: tracks and an overlay video
omnitrack init clip.mp4 clip      or step by step: `omnitrack info clip` names the next
"""

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

app = typer.Typer(cls=Group, rich_markup_mode=None, context_settings=HELP)
for _module in COMMANDS:
    add_command(app, _module.__name__.rpartition(".")[2], _module.command, _module.EXAMPLES)


def _show_version(wanted: bool) -> None:
    if wanted:
        from omnitrack import __version__

        typer.echo(f"omnitrack {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def _root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The motion of every pixel of a video, through the whole clip and through occlusions."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def execute(arguments: list[str]) -> int:
    """Run one command line.

    Args:
        arguments: The command line, without the program's name.

    Returns:
        The exit status: 0 success, 1 a known error, 2 an invalid command line, 130 interrupted, 143 stopped by SIGTERM.
    """
    forget()
    try:
        status = get_command(app).main(arguments, prog_name="omnitrack", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has closed the pipe; without this the interpreter would complain about unflushed output
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        failure = explain(error, arguments, what_is_kept())
        if failure.exit_status == 1 and any(re.fullmatch("-[vq]*v[vq]*|--verbose", word) for word in arguments):
            for line in "".join(traceback.format_exception(error)).splitlines():
                say(make_console(), line)
        show_error(make_console(), failure)
        return failure.exit_status
    return status if isinstance(status, int) else 0
