"""Shared by the benchmarks: options of their command lines, choice of videos, tables, and `--json FILE`.

A script prints its tables as Markdown while it measures. With `--json FILE` it also writes the same rows, unrounded,
with their circumstances: command, commit, date, machine and versions. No large imports at the top: the processes that
`long_clip.py` starts inherit the peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omnitrack.evaluation.tapvid import TapvidVideo
    from omnitrack.settings import Settings

FOLDER = Path(__file__).parent
STAGES = ("init", "flow", "filter", "fit", "query")  # of a clip, in order
TableRow = Mapping[str, Any]
Show = str | Callable[[TableRow], str]  # a format string for a row's values, or a function of the row
Columns = Mapping[str, Show]  # by title


# --- command lines ----------------------------------------------------------------------------------------------
def parser_of(text: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows a script's docstring as its help and accepts `--json FILE`."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows and their circumstances")
    return parser


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add the option `--set KEY=VALUE`."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting (repeatable)")


def add_videos(parser: argparse.ArgumentParser) -> None:
    """Add the argument for a TAP-Vid dataset and the option `--videos A,B`."""
    parser.add_argument("dataset", type=Path, help="TAP-Vid pickle or folder")
    parser.add_argument("--videos", metavar="A,B", help="names, separated by commas (all)")


def settings_of(
    arguments: argparse.Namespace, fixed: Mapping[str, object] | None = None, preset: str | None = None
) -> Settings:
    """Return the settings of a run: `--set` overrides what the script fixes, which overrides the preset."""
    from omnitrack.config import load_settings, parse_assignments

    return load_settings(overrides={**(fixed or {}), **parse_assignments(arguments.set)}, preset=preset)


def chosen_videos(arguments: argparse.Namespace) -> Iterator[TapvidVideo]:
    """Yield the videos of the dataset that `--videos` names, one after another; without it, all.

    Raises:
        SystemExit: The dataset cannot be read, or lacks one of the videos.
    """
    from omnitrack.errors import OmnitrackError
    from omnitrack.evaluation.tapvid import load_tapvid

    try:
        yield from load_tapvid(arguments.dataset, arguments.videos.split(",") if arguments.videos else None)
    except OmnitrackError as error:
        raise SystemExit(str(error)) from error


# --- processes --------------------------------------------------------------------------------------------------
def measured_process(
    words: Sequence[str], environment: Mapping[str, str] | None = None, cores: int = 0, folder: Path | None = None
) -> tuple[float, float]:
    """Run a program and return its wall-clock seconds and its peak of resident memory in MB.

    Args:
        words: The command.
        environment: Environment variables; None: those of the caller.
        cores: Number of the caller's cores that it may use; 0: all.
        folder: The folder that it starts in, whose packages `python -m` prefers; None: that of the caller.

    Raises:
        SystemExit: The program fails; the message is its error output.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(
        list(words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, cwd=folder
    )
    if cores:
        os.sched_setaffinity(process.pid, sorted(os.sched_getaffinity(0))[:cores])
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(told)
    return time.perf_counter() - begin, used.ru_maxrss / 1024


# --- pictures ---------------------------------------------------------------------------------------------------
def aj_over_seconds(axes: Any) -> None:
    """Set up matplotlib's axes for accuracy over time."""
    from matplotlib import ticker

    axes.set(xscale="log", xlabel="seconds of the fit (log), steps beside the points", ylabel="AJ, per cent")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.ScalarFormatter())
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.grid(alpha=0.3)


# --- circumstances of a number ----------------------------------------------------------------------------------
def commit() -> str:
    """Return the commit, with "-dirty" if the package differs from it; other files may differ."""

    def git(*words: str) -> str:
        found = subprocess.run(["git", "-C", str(FOLDER), *words], capture_output=True, text=True, check=False)
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--", ":/omnitrack")
    return (git("describe", "--always") or "unknown") + ("-dirty" if changed else "")


def machine() -> str:
    """Return the number of cores, the architecture and the version of torch."""
    import torch

    return f"{os.cpu_count()} cores, {platform.machine()}, torch {torch.__version__}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the numerical libraries."""
    import cv2
    import numpy
    import torch

    found = {"python": platform.python_version(), "torch": torch.__version__}
    return {**found, "opencv": cv2.__version__, "numpy": numpy.__version__}


# --- results ----------------------------------------------------------------------------------------------------
class Table:
    """A Markdown table whose rows are printed as they are added."""

    def __init__(self, columns: Columns, rows: list[TableRow], names: int = 1) -> None:
        """Print the header.

        Args:
            columns: Titles, and how to show a row under each.
            rows: List that collects the added rows.
            names: Number of leading text columns; the others are aligned as numbers.
        """
        self._columns, self._rows = columns, rows
        print(f"| {' | '.join(columns)} |\n|{'---|' * names}{'---:|' * (len(columns) - names)}", flush=True)

    def add(self, row: TableRow) -> None:
        """Print a row and keep it."""
        self._rows.append(row)
        shown = (show.format_map(row) if isinstance(show, str) else show(row) for show in self._columns.values())
        print(f"| {' | '.join(shown)} |", flush=True)


class Report:
    """The results of one run of a script."""

    def __init__(self, file: Path | None, **about: object) -> None:
        """Record the commit and the start of the run.

        Args:
            file: File of `--json`; None: write nothing.
            about: Anything else that the numbers depend on.
        """
        self._file, self._about = file, about
        self._commit, self._start = commit(), datetime.now(timezone.utc)
        self._tables: dict[str, list[TableRow]] = {}

    def table(self, name: str, columns: Columns, names: int = 1) -> Table:
        """Begin a printed table; see `Table`."""
        return Table(columns, self._tables.setdefault(name, []), names)

    def keep(self, name: str, rows: Iterable[TableRow]) -> None:
        """Keep rows that are not printed."""
        self._tables.setdefault(name, []).extend(rows)

    def write(self) -> None:
        """Write the JSON file, if requested."""
        if self._file is None:
            return
        found = {
            "command": shlex.join(["python", f"tests/benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
            "commit": self._commit,
            "date": f"{self._start:%Y-%m-%d}",
            "machine": machine(),
            "versions": versions(),
            **self._about,
            "tables": self._tables,
        }
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(_plain(found), indent=1) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Convert a value for JSON: numpy values to Python's, tuples to lists, and numbers that are not finite to null."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
