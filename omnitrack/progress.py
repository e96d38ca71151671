"""How a stage tells its caller how far it is; the silent default is the base class itself."""

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
        """Report `steps` more steps done, with values worth showing beside the bar (``loss=0.3``)."""

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the task, done or not."""


@dataclass(frozen=True)
class ClipState:
    """How far one of several clips is: the stage that it is in, and its steps; `total` is 0 where nobody knows."""

    stage: str
    done: int = 0
    total: int = 0


class Board:
    """Several clips at work side by side, each named; a context manager. Several threads may call it."""

    def began(self, name: str, worker: str) -> None:
        """A worker has taken up a clip."""

    def state(self, name: str, state: ClipState) -> None:
        """A clip is so far now."""

    def say(self, name: str, text: str, is_warning: bool = False) -> None:
        """A clip has something to say that is worth knowing."""

    def ended(self, name: str, seconds: float, failure: str = "") -> None:
        """A clip has ended; `failure` says why it is not done."""

    def __enter__(self) -> Board:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the board; clips that are still at work were stopped."""


class Progress:
    """Receives what a stage has to say while it works. Stages never print; the command line overrides this.

    Example:
        >>> class Loud(Progress):
        ...     def note(self, text):
        ...         print(text.upper())
        >>> Loud().note("done")
        DONE
    """

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        """Begin a task of `total` steps of which `done` were finished by an earlier run."""
        return Task()

    def plan(self, stages: Sequence[str]) -> None:
        """Say which stages will follow, in their order, so that each can be numbered."""

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Begin a stage; its tasks follow one another within, and between them it is at work, too."""
        return nullcontext()

    def board(self, total: int | None) -> Board:
        """Begin to show several clips side by side, so many in all; None: nobody knows."""
        return Board()

    def note(self, text: str) -> None:
        """Say something worth knowing in one line."""

    def warn(self, text: str) -> None:
        """Say something that may be wrong but does not stop the work."""


SILENT = Progress()
