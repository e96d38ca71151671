"""What all executors share: jobs, their outcomes, and the part of a machine that a worker may use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress

TRIES = 3  # per job whose worker dies; each try continues from what the last one finished
WORKER_HINT = "was the machine out of memory? Type the same again, with fewer --jobs or a smaller --max-size"


@dataclass(frozen=True)
class Job:
    """The work for one clip, which any worker can do: it writes products to a project and continues from existing ones.

    Attributes:
        name: The clip as the user named it.
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
        number: Number of the job, from 0 in the order in which the jobs were given.
        name: Name of the job.
        result: What its function returned; None if it failed.
        error: Why it failed; None if it did not fail.
        seconds: Wall time.
        tries: Number of workers that tried it; more than one if some died.
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
        directory: The directory that relative paths refer to.
    """

    cores: int = 0
    device: str = "auto"
    directory: str = field(default="")


class Executor(Protocol):
    """Runs jobs. A job that fails, or whose worker dies, does not affect the others."""

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        """Run jobs, and yield their outcomes as they end.

        Jobs are taken from the iterable when a worker is free. If the caller is stopped (`KeyboardInterrupt`) or
        abandons the iteration, running jobs are told to save their work, and waited for.

        Args:
            jobs: The jobs to run.
            progress: Receives progress updates and messages of all jobs.
            total: Number of jobs, if known.

        Raises:
            OmnitrackError: No job can be run at all.
        """
        ...
