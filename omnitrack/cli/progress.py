"""Progress on stderr: live bars on a terminal, one plain line per 10 % elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.table import Table
from rich.text import Text

from omnitrack.cli.board import LineBoard, TableBoard
from omnitrack.cli.console import duration, number, printable, say
from omnitrack.progress import Board, Progress, Task

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

SPEED_SECONDS = 600.0  # window for the estimate of the time left; long enough for steps of 20 s each


def make_progress(console: Console, quiet: bool, verbose: bool) -> Progress:
    """Return the kind of progress that suits stderr; with `quiet`, the silent one."""
    if quiet:
        return Progress()
    return BarProgress(console, verbose) if console.is_terminal else LineProgress(console, verbose)


class _Clock:
    """The progress of a task: its count, speed and time left."""

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
        """Steps per second of this run; steps of an earlier run do not count."""
        return (self.done - self._first_done) / max(self.elapsed, 1e-9)

    def pace(self) -> list[str]:
        """Return the speed, and the time left or, at the end, the elapsed time."""
        left = max(self.total - self.done, 0)
        speed = [f"{number(self.rate)}/s"]
        if not left:
            return [*speed, duration(self.elapsed)]
        return [*speed, f"{duration(left / self.rate)} left"] if self.rate > 0 else speed


class _ConsoleProgress(Progress):
    """Base of both kinds: notes and warnings, stage numbers, and a closing line per task if verbose."""

    def __init__(self, console: Console, verbose: bool) -> None:
        self.console = console
        self.verbose = verbose
        self._planned: list[str] = []

    def board(self, total: int | None) -> Board:
        kind = TableBoard if self.console.is_terminal else LineBoard
        return kind(self.console, total, self.verbose)

    def note(self, text: str) -> None:
        say(self.console, text)

    def warn(self, text: str) -> None:
        say(self.console, text, "warning: ", "bold yellow")

    def plan(self, stages: Sequence[str]) -> None:
        self._planned = list(stages)

    @property
    def is_planned(self) -> bool:
        """Whether `plan` has announced a sequence of stages."""
        return bool(self._planned)

    def numbered(self, stage: str) -> str:
        """Return `2/6 flow`, padded to the longest name; for a stage that is not planned, its name alone."""
        if stage not in self._planned:
            return stage
        width = max(map(len, self._planned))
        return f"{self._planned.index(stage) + 1}/{len(self._planned)} {stage:<{width}}"

    def finished(self, clock: _Clock) -> None:
        if self.verbose:
            self.note(f"{clock.name}: {clock.done}/{clock.total} {clock.unit} in {clock.elapsed:.1f} s")


# --- lines ------------------------------------------------------------------------------------------------------
class LineProgress(_ConsoleProgress):
    """One plain line per 10 % and before each planned stage, for logs and pipes."""

    def __init__(self, console: Console, verbose: bool) -> None:
        super().__init__(console, verbose)
        self._inside = 0

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return _LineTask(self, _Clock(name, total, done, unit))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if name in self._planned and not self._inside:  # a nested stage has no line
            self.note(self.numbered(name).rstrip())
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1


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


# --- bars -------------------------------------------------------------------------------------------------------
class BarProgress(_ConsoleProgress):
    """Live bars and, if no stages are planned, a live table of the values that a task reports (losses).

    A stage has one line, which shows its current task, or a moving bar between tasks.
    """

    def __init__(self, console: Console, verbose: bool) -> None:
        super().__init__(console, verbose)
        self._bars: _Bars | None = None
        self._open = 0
        self._stage: tuple[TaskID, str] | None = None

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        bars, clock = self._opened(), _Clock(name, total, done, unit)
        if self._stage is None:
            return _BarTask(self, bars, clock, bars.begin(printable(name), clock), stage="")
        row, stage = self._stage
        bars.begin(stage, clock, row)
        return _BarTask(self, bars, clock, row, stage)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        if self._stage is not None:  # a nested stage: the outer one has the line
            yield
            return
        bars, label, began = self._opened(), self.numbered(name), time.monotonic()
        row = bars.add_task(label, total=None, count="")
        self._stage = row, label
        try:
            yield
            bars.end(row, label, time.monotonic() - began)
        finally:
            self._stage = None
            self._closed()

    def close(self, clock: _Clock) -> None:
        """End one task; the bars stop when the outermost task or stage has ended."""
        self._closed()
        self.finished(clock)

    def _opened(self) -> _Bars:
        if self._bars is None:
            self._bars = _Bars(self.console)
            self._bars.start()
        self._open += 1
        return self._bars

    def _closed(self) -> None:
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


class _BarTask(Task):
    def __init__(self, progress: BarProgress, bars: _Bars, clock: _Clock, row: TaskID, stage: str) -> None:
        self._progress, self._bars, self._clock, self._row, self._stage = progress, bars, clock, row, stage
        self._shown = clock.tenths

    def advance(self, steps: int = 1, **values: float | str) -> None:
        clock = self._clock
        clock.done += steps
        self._bars.update(self._row, completed=clock.done, count=_count(clock))
        if values and not self._progress.is_planned:
            self._bars.show_values(clock, values, keep=clock.tenths > self._shown)
            self._shown = clock.tenths

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stage and kind is None:
            self._bars.rest(self._row, self._stage)
        self._progress.close(self._clock)


def _count(clock: _Clock) -> str:
    return f"{clock.done}/{clock.total} {clock.unit}"


class _TimeLeft(TimeRemainingColumn):
    """`12:34 left`; empty if the time is unknown or none is left."""

    def render(self, task: RichTask) -> Text:
        """Return the text for a row."""
        left = super().render(task)
        return Text() if task.finished or not task.time_remaining else left.append(" left")


class _Bars(RichProgress):
    """rich's bars with a table of values below: one row per 10 %, and the latest values."""

    def __init__(self, console: Console) -> None:
        self._names: tuple[str, ...] = ()
        self._kept: list[list[str]] = []
        self._newest: list[str] = []
        super().__init__(  # calls get_renderables immediately
            SpinnerColumn("dots" if console.encoding.startswith("utf") else "line", finished_text=" "),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
            _TimeLeft(compact=True),
            console=console,
            speed_estimate_period=SPEED_SECONDS,
        )

    def begin(self, label: str, clock: _Clock, row: TaskID | None = None) -> TaskID:
        """Show a task in its own row, or in the row of its stage."""
        if row is None:
            return self.add_task(label, total=clock.total, completed=clock.done, count=_count(clock))
        self.reset(row, total=clock.total, completed=clock.done, description=label, count=_count(clock))
        return row

    def rest(self, row: TaskID, stage: str) -> None:
        """Show that a stage is between two of its tasks; the count of the last one stays."""
        task = self.tasks[self.task_ids.index(row)]
        self.reset(row, description=stage, **task.fields)
        task.total = None  # `reset` would take None as no change

    def end(self, row: TaskID, stage: str, seconds: float) -> None:
        """Complete the line of a stage and keep its elapsed time."""
        self.update(row, description=stage, total=1, completed=1)
        self.tasks[self.task_ids.index(row)].finished_time = seconds

    def show_values(self, clock: _Clock, values: dict[str, float | str], keep: bool) -> None:
        """Put `values` in the last row of the table; `keep` makes that row permanent."""
        self._names = ("step", *values, f"{clock.unit}/s")
        self._newest = [str(clock.done), *(number(value, 3) for value in (*values.values(), clock.rate))]
        if keep:
            self._kept.append(self._newest)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the bars, then the table once it has values."""
        yield self.make_tasks_table(self.tasks)
        if self._newest:
            table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
            for name in self._names:  # one word per line: the losses of cadex fit into 80 columns
                table.add_column(name.replace("_", "\n"), justify="right", vertical="bottom", no_wrap=True)
            rows = self._kept if self._kept[-1:] == [self._newest] else [*self._kept, self._newest]
            for row in rows:
                table.add_row(*row)
            yield table
