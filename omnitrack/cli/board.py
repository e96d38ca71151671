"""Progress of several clips in parallel: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from omnitrack.cli.console import duration, printable, say
from omnitrack.progress import Board, ClipState

if TYPE_CHECKING:
    from rich.console import Console

BAR_CELLS = 16
LONGEST_NAME = 40  # terminal cells
REFRESH_PER_SECOND = 4


@dataclass
class _Counts:
    """Number of clips that have ended, by outcome."""

    total: int | None
    done: int = 0
    failed: int = 0
    began: float = field(default_factory=time.monotonic)

    def sentence(self, at_work: int) -> str:
        """Return, for example, `3 of 12 done, 1 failed, 2 at work, about 1:20 left`."""
        ended, elapsed = self.done + self.failed, time.monotonic() - self.began
        words = [f"{self.done} of {self.total} done" if self.total else f"{self.done} done"]
        words += [f"{self.failed} failed"] * bool(self.failed) + [f"{at_work} at work"] * bool(at_work)
        if self.total and 0 < ended < self.total:
            words.append(f"about {duration(elapsed / ended * (self.total - ended))} left")
        else:
            words.append(duration(elapsed))
        return ", ".join(words)


class LineBoard(Board):
    """One line per stage, warning and end of a clip, for logs and pipes."""

    def __init__(self, console: Console, total: int | None, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._counts = _Counts(total)
        self._stages: dict[str, str] = {}
        self._lock = threading.Lock()

    def began(self, name: str, worker: str) -> None:
        with self._lock:
            self._stages[name] = ""
            self._tell(f"{name}: begins ({worker})")

    def state(self, name: str, state: ClipState) -> None:
        with self._lock:
            if self._stages.get(name, state.stage) != state.stage:
                self._stages[name] = state.stage
                self._tell(f"{name}: {state.stage}")

    def say(self, name: str, text: str, is_warning: bool = False) -> None:
        with self._lock:
            for line in text.split("\n") if is_warning or self._verbose else ():
                say(self._console, f"{name}: {line}", "warning: " * is_warning, "bold yellow")

    def ended(self, name: str, seconds: float, failure: str = "") -> None:
        with self._lock:
            self._stages.pop(name, None)
            self._counts.failed += bool(failure)
            self._counts.done += not failure
            if failure:
                say(self._console, f"{name}: {failure}", "failed: ", "bold red")
            self._tell(f"{name}: {duration(seconds)}; {self._counts.sentence(len(self._stages))}")

    def _tell(self, text: str) -> None:
        say(self._console, text)


class TableBoard(Board):
    """A live table: one row per clip in progress, and a line that counts all clips."""

    def __init__(self, console: Console, total: int | None, verbose: bool) -> None:
        self._console, self._verbose = console, verbose
        self._counts = _Counts(total)
        self._rows: dict[str, tuple[float, ClipState]] = {}  # by clip: start time and progress
        self._lock = threading.RLock()
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=REFRESH_PER_SECOND)

    def __enter__(self) -> Board:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def began(self, name: str, worker: str) -> None:
        with self._lock:
            self._rows[name] = time.monotonic(), ClipState("starting")

    def state(self, name: str, state: ClipState) -> None:
        with self._lock:
            if name in self._rows:
                self._rows[name] = self._rows[name][0], state

    def say(self, name: str, text: str, is_warning: bool = False) -> None:
        for line in text.split("\n") if is_warning or self._verbose else ():
            say(self._console, f"{name}: {line}", "warning: " * is_warning, "bold yellow")

    def ended(self, name: str, seconds: float, failure: str = "") -> None:
        with self._lock:
            self._rows.pop(name, None)
            self._counts.failed += bool(failure)
            self._counts.done += not failure
        if failure:
            say(self._console, f"{name}: {failure}", "failed: ", "bold red")
        else:
            say(self._console, f"{name}: {duration(seconds)}", "done: ", "green")

    def picture(self) -> Group:
        """Return the current table, no higher than the terminal, and the count of all clips."""
        with self._lock:
            rows = list(self._rows.items())[: max(1, self._console.height - 2)]
            table = Table(box=None, show_header=False, pad_edge=False)
            table.add_column(max_width=LONGEST_NAME, overflow="ellipsis", no_wrap=True)
            for name, (since, state) in rows:
                share = state.done / state.total if state.total else 0.0
                filled = round(BAR_CELLS * min(share, 1.0))
                bar = Text("━" * filled, "green") + Text("━" * (BAR_CELLS - filled), "dim")
                count = f"{100 * share:.0f} %" if state.total else ""
                table.add_row(printable(name), state.stage, bar, count, duration(time.monotonic() - since))
            return Group(table, Text(self._counts.sentence(len(self._rows)), "dim"))
