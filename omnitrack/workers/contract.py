"""What all executors share: jobs in, outcomes out, and what a worker may use of its machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress

TRIES = 3  # of a job whose worker dies; each goes on from what the last one finished
WORKER_HINT = "was the machine out of memory? Type the same again, with fewer --jobs or a smaller --max-size"


@dataclass(frozen=True)
class Job:
    """One clip's work, which any worker can do: it leaves its products in a project, and goes on from what is there.

    Attributes:
        name: What the user calls the clip.
        function: Called as ``function(*arguments, device=..., progress=...)``. Another process imports it by its name.
        arguments: Plain values that can be pickled.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    Attributes:
        number: Of the job, in the order in which they were given, from 0.
        name: The job's.
        result: What its function returned; None where it failed.
        error: Why it failed; None where it did not.
        seconds: That it took.
        tries: Workers that it took: one more than died over it.
    """

    number: int
    name: str
    result: Any = None
    error: OmnitrackError | None = None
    seconds: float = 0.0
    tries: int = 1


@dataclass(frozen=True)
class Share:
    """What one worker may use.

    Attributes:
        cores: CPU cores; 0: all that its process may run on.
        device: As for `omnitrack.device.pick_device`.
        directory: Where relative paths begin.
    """

    cores: int = 0
    device: str = "auto"
    directory: str = field(default="")


class Executor(Protocol):
    """Carries jobs out. A job that fails, or whose worker dies, leaves the others alone."""

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        """Carry jobs out, and give their outcomes as they end.

        Jobs are taken from the iterable when there is room for them. Where the caller is stopped (`KeyboardInterrupt`)
        or gives up, the jobs at work are told to save what they have, and waited for.

        Args:
            jobs: What to do.
            progress: Hears of all of them.
            total: How many there are, where that is known.

        Raises:
            OmnitrackError: Nothing can be carried out at all.
        """
        ...
