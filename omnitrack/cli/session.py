"""What all commands share: the common options, reporting, and access to a project and its settings."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import sys
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnitrack.cli.console import make_console, number, printable_values, say, size_text
from omnitrack.config import load_settings, parse_assignments

if TYPE_CHECKING:
    from omnitrack.progress import Progress
    from omnitrack.project.project import Project
    from omnitrack.settings import Settings


class Session:
    """One run of one command.

    Args:
        verbose: Print more, and tracebacks.
        quiet: Print errors only.
        as_json: Write reports to stdout as JSON.
        device: Device to compute on: auto, cpu, cuda or cuda:N.
        seed: Random seed.
    """

    def __init__(self, verbose: bool, quiet: bool, as_json: bool, device: str, seed: int) -> None:
        from omnitrack.cli.progress import make_progress

        self.verbose, self.quiet, self.as_json = verbose, quiet, as_json
        self.device, self.seed = device, seed
        self.console = make_console()
        self.progress: Progress = make_progress(self.console, quiet, verbose)
        if not verbose:
            warnings.simplefilter("ignore")  # from libraries, about internals
        if device.startswith("cuda"):
            from omnitrack.device import pick_device

            pick_device(device)  # every command reports a missing GPU immediately

    def starting(self) -> AbstractContextManager[object]:
        """Show a spinner on a terminal while large packages load, which takes seconds with a cold disk cache."""
        silent = self.quiet or not self.console.is_terminal
        return nullcontext() if silent else self.console.status("starting")

    def project(self, root: Path) -> Project:
        """Open the project that the command line names."""
        from omnitrack.project.project import Project

        return Project(root)

    def settings(
        self,
        path: Path | None,
        assignments: list[str] | None,
        flags: Mapping[str, object] | None = None,
        preset: str | None = None,
    ) -> Settings:
        """Load the settings: the preset if one is named, then the file at `path`, ``--set``, and a command's own flags.

        Flags that were not given are None.
        """
        given = {key: value for key, value in (flags or {}).items() if value is not None}
        overrides = {**parse_assignments(assignments or []), **given}
        return load_settings(path, overrides, preset=preset)

    def report(self, report: Any, next_command: str | None = None) -> None:
        """Show the report of a stage (a dataclass or a dict): JSON on stdout if requested, else lines on stderr."""
        values = report if isinstance(report, dict) else dataclasses.asdict(report)
        if self.as_json:
            self.data(values)
            return
        self._lines(values, "  ")
        if next_command:
            self.say(next_command, "next: ", "bold green")

    def table(self, results: dict[str, Any]) -> None:
        """Show evaluation results: a table on stderr (markdown if not a terminal), or JSON on stdout if requested.

        With --verbose the table has a row per video.
        """
        from omnitrack.evaluation.table import markdown_table, rich_table

        if self.as_json:
            self.data(results)
            return
        shown = printable_values(results)
        if self.console.is_terminal and not self.quiet:
            self.console.print(rich_table(shown, per_video=self.verbose, published=True))
        else:
            for line in markdown_table(shown, per_video=self.verbose, published=True).split("\n"):
                self.say(line)

    def data(self, values: Any) -> None:
        """Write plain values to stdout as JSON; non-finite numbers, which JSON cannot represent, become null."""
        json.dump(_finite(values), sys.stdout, indent=2, default=str, allow_nan=False)
        sys.stdout.write("\n")

    def say(self, text: str, label: str = "", style: str = "") -> None:
        """Print a line for the user, unless --quiet is set."""
        if not self.quiet:
            say(self.console, text, label, style)

    def say_lines(self, text: str) -> None:
        """Print each line of one of the program's own texts with `say`."""
        for line in text.split("\n"):
            self.say(line)

    def _lines(self, values: Mapping[str, Any], indent: str) -> None:
        width = max((len(name) for name in values), default=0)
        for name, value in values.items():
            label = f"{indent}{name.replace('_', ' '):<{width}}  "
            if isinstance(value, dict) and value:
                self.say(f"{indent}{name}", style="bold")
                self._lines(value, indent + "  ")
            elif name == "bytes":
                self.say(label + size_text(value))
            elif isinstance(value, (list, tuple)) and name.endswith("size"):
                self.say(label + "x".join(map(str, value)))
            elif isinstance(value, (str, int, float)) and value != "":
                self.say(label + (number(value) if isinstance(value, float) else str(value)))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def command_line(command: str, project: str | Path, *more: str) -> str:
    """Return the command line for `command` on `project`; the current directory is omitted."""
    named = [] if str(project) == "." else [str(project)]
    return shlex.join(["omnitrack", command, *named, *more])
