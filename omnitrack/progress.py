"""How a stage tells its caller how far it is; the silent default is the base class itself."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
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

    def note(self, text: str) -> None:
        """Say something worth knowing in one line."""

    def warn(self, text: str) -> None:
        """Say something that may be wrong but does not stop the work."""


SILENT = Progress()
