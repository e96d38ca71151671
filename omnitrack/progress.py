"""Progress reports of a stage to its caller; the base class is the silent default."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import TracebackType


class Task:
    """One piece of work with a known number of steps; a context manager.

    Example:
        >>> with Progress().task("flow", 10) as task:
        ...     task.advance(3)
    """

    def advance(self, steps: int = 1, **values: float | str) -> None:
        """Report `steps` more finished steps, with values to show beside the bar (``loss=0.3``)."""

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the task, finished or not."""


@dataclass(frozen=True)
class ClipState:
    """Progress of one of several clips: its stage, and the steps of that stage; `total` is 0 if unknown."""

    stage: str
    done: int = 0
    total: int = 0


class Board:
    """Progress of several named clips in parallel; a context manager. Several threads may call it."""

    def began(self, name: str, worker: str) -> None:
        """Report that a worker has started on a clip."""

    def state(self, name: str, state: ClipState) -> None:
        """Report the progress of a clip."""

    def say(self, name: str, text: str, is_warning: bool = False) -> None:
        """Report a message about a clip."""

    def ended(self, name: str, seconds: float, failure: str = "") -> None:
        """Report that a clip has ended; `failure` is the reason if it did not finish."""

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the board; clips still in progress were stopped."""


class Progress:
    """Receives progress updates and messages of a stage. Stages never print; the command line overrides this.

    Example:
        >>> class Loud(Progress):
        ...     def note(self, text):
        ...         print(text.upper())
        >>> Loud().note("done")
        DONE
    """

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        """Begin a task of `total` steps, of which an earlier run finished `done`."""
        return Task()

    def plan(self, stages: Sequence[str]) -> None:
        """Announce the stages that will follow, in order, so that each can be numbered."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Begin a stage; its tasks follow one another, and the stage also works between them."""
        return nullcontext()

    def board(self, total: int | None) -> Board:
        """Begin to show several clips in parallel, `total` in all; None if the number is unknown."""
        return Board()

    def note(self, text: str) -> None:
        """Report a message of one line."""

    def warn(self, text: str) -> None:
        """Report a possible problem that does not stop the work."""


SILENT = Progress()
