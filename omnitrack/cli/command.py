"""Turns functions into subcommands: common options, examples below the help, a session as the first argument."""

from __future__ import annotations

import inspect
import re
import textwrap
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from omnitrack.cli.complete import DEVICES, values
from omnitrack.cli.failures import Interrupted
from omnitrack.cli.session import Session


def _device(value: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        raise typer.BadParameter(f"{value!r} is not auto, cpu, cuda or cuda:N")
    return value


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more, and tracebacks.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Write the report to stdout as JSON.")]
Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|cuda[:n]", help="Device to compute on.", callback=_device, autocompletion=values(*DEVICES)
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")]


def _common(
    verbose: Verbose = False, quiet: Quiet = False, as_json: AsJson = False, device: Device = "auto", seed: Seed = 0
) -> None:
    """Declare the options that all commands share."""


COMMON = tuple(inspect.signature(_common).parameters)


class _Examples:
    """Help text that ends with the unchanged epilog as its Examples block."""

    epilog: str | None

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples; click would join their lines."""
        formatter.write_paragraph()
        formatter.write(f"Examples:\n{textwrap.indent(inspect.cleandoc(self.epilog or ''), '  ')}\n")


class Group(_Examples, TyperGroup):
    """The executable itself: the group of all subcommands."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands in workflow order; older releases of typer would sort them by name."""
        return list(self.commands)

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Parse the command line; typer would turn Ctrl-C into a silent exit."""
        with _stops_told():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Parse the subcommand's part of the command line and run it."""
        with _stops_told():
            return super().invoke(ctx)


@contextmanager
def _stops_told() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt as stopped:
        raise Interrupted(stopped) from None


class Command(_Examples, TyperCommand):
    """A subcommand whose help lists the common options separately."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, the command's own options and the common options as three lists."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": [], "Common options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            kind = "Common options" if param.name in (*COMMON, "help") else "Options"
            if record is not None:
                sections["Arguments" if param.param_type_name == "argument" else kind].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def add_command(app: typer.Typer, name: str, function: Callable[..., None], examples: str) -> None:
    """Register `function(session, ...)` as the subcommand `name` with the common options added.

    Args:
        app: The application that gets the subcommand.
        name: Name of the subcommand, as the user types it.
        function: Takes a `Session` as its first argument; its docstring is the help text.
        examples: Lines for the help's Examples block.
    """
    own = _parameters(function)[1:]
    common = _parameters(_common)

    def run(**arguments: Any) -> None:
        session = Session(**{key: arguments.pop(key) for key in COMMON})
        function(session, **arguments)

    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *common)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    run.__doc__ = function.__doc__
    app.command(name, cls=Command, epilog=examples)(run)


def _parameters(function: Callable[..., None]) -> list[inspect.Parameter]:
    """Return the parameters of `function` with evaluated annotations, as typer requires."""
    hints = typing.get_type_hints(function, include_extras=True)
    return [p.replace(annotation=hints[p.name]) for p in inspect.signature(function).parameters.values()]
