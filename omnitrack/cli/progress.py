"""Progress on stderr: live bars on a terminal, one plain line per 10 % anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Table

from omnitrack.cli.console import duration, number, printable, say
from omnitrack.progress import Progress, Task

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def make_progress(console: Console, quiet: bool, verbose: bool) -> Progress:
    """The progress that fits where stderr goes; `quiet` gives the silent one."""
    if quiet:
        return Progress()
    return BarProgress(console, verbose) if console.is_terminal else LineProgress(console, verbose)


class _Clock:
    """How far a task is: its count, speed and time left."""

    def __init__(self, name: str, total: int, done: int, unit: str) -> None:
        self.name, self.total, self.done, self.unit = name, total, done, unit
        self._first_done = done
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._start

    @property
    def tenths(self) -> int:
        return 10 * min(self.done, self.total) // self.total if self.total > 0 else 10

    @property
    def rate(self) -> float:
        """Steps per second of this run; what an earlier run did does not count."""
        return (self.done - self._first_done) / max(self.elapsed, 1e-9)

    def pace(self) -> list[str]:
        """Speed, and the time left or, at the end, the time it took."""
        left = max(self.total - self.done, 0)
        speed = [f"{number(self.rate)}/s"]
        if not left:
            return [*speed, duration(self.elapsed)]
        return [*speed, f"{duration(left / self.rate)} left"] if self.rate > 0 else speed


class _ConsoleProgress(Progress):
    """What both kinds share: notes and warnings, and a closing line with the time where that was asked for."""

    def __init__(self, console: Console, verbose: bool) -> None:
        self.console = console
        self.verbose = verbose

    def note(self, text: str) -> None:
        say(self.console, text)

    def warn(self, text: str) -> None:
        say(self.console, text, "warning: ", "bold yellow")

    def finished(self, clock: _Clock) -> None:
        if self.verbose:
            self.note(f"{clock.name}: {clock.done}/{clock.total} {clock.unit} in {clock.elapsed:.1f} s")


class LineProgress(_ConsoleProgress):
    """One plain line per 10 %, for logs and pipes."""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return _LineTask(self, _Clock(name, total, done, unit))


class _LineTask(Task):
    def __init__(self, progress: LineProgress, clock: _Clock) -> None:
        self._progress, self._clock = progress, clock
        self._shown = clock.tenths

    def advance(self, steps: int = 1, **values: float | str) -> None:
        clock = self._clock
        clock.done += steps
        if clock.tenths > self._shown:
            self._shown = clock.tenths
            self._progress.note(_line(clock, values))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.finished(self._clock)


def _line(clock: _Clock, values: dict[str, float | str]) -> str:
    parts = [f"{clock.done}/{clock.total} {clock.unit}", *clock.pace()]
    parts += [f"{name} {number(value)}" for name, value in values.items()]
    return f"{clock.name}: {10 * clock.tenths} % ({', '.join(parts)})"


class BarProgress(_ConsoleProgress):
    """Live bars, and a live table of the values that a task reports (losses)."""

    def __init__(self, console: Console, verbose: bool) -> None:
        super().__init__(console, verbose)
        self._bars: _Bars | None = None
        self._open = 0

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        if self._bars is None:
            self._bars = _Bars(self.console)
            self._bars.start()
        self._open += 1
        return _BarTask(self, self._bars, _Clock(name, total, done, unit))

    def close(self, clock: _Clock) -> None:
        """End one task; the bars come to rest when the outermost one has ended."""
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None
        self.finished(clock)


class _BarTask(Task):
    def __init__(self, progress: BarProgress, bars: _Bars, clock: _Clock) -> None:
        self._progress, self._bars, self._clock = progress, bars, clock
        self._id: TaskID = bars.add_task(
            printable(clock.name), total=clock.total, completed=clock.done, unit=clock.unit, pace=""
        )
        self._shown = clock.tenths

    def advance(self, steps: int = 1, **values: float | str) -> None:
        clock = self._clock
        clock.done += steps
        self._bars.update(self._id, completed=clock.done, pace=", ".join(clock.pace()))
        if values:
            self._bars.show_values(clock, values, keep=clock.tenths > self._shown)
            self._shown = clock.tenths

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.close(self._clock)


class _Bars(RichProgress):
    """rich's bars with a table of values below: a row per 10 %, and the newest."""

    def __init__(self, console: Console) -> None:
        self._names: tuple[str, ...] = ()
        self._kept: list[list[str]] = []
        self._newest: list[str] = []
        super().__init__(  # asks for the renderables at once
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}", markup=False),
            TextColumn("{task.fields[pace]}", style="dim", markup=False),
            console=console,
        )

    def show_values(self, clock: _Clock, values: dict[str, float | str], keep: bool) -> None:
        """Put `values` in the last row of the table; `keep` leaves it there."""
        self._names = ("step", *values, f"{clock.unit}/s")
        self._newest = [str(clock.done), *(number(value, 3) for value in (*values.values(), clock.rate))]
        if keep:
            self._kept.append(self._newest)

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bars, then the table once there is something to show."""
        yield self.make_tasks_table(self.tasks)
        if self._newest:
            table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
            for name in self._names:  # one word a line: the losses of cadex fit into 80 columns
                table.add_column(name.replace("_", "\n"), justify="right", vertical="bottom", no_wrap=True)
            rows = self._kept if self._kept[-1:] == [self._newest] else [*self._kept, self._newest]
            for row in rows:
                table.add_row(*row)
            yield table
