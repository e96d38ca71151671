"""A job in the process that runs it: limited to its share of the machine, errors caught, progress sent on."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from omnitrack.diagnosis import diagnose
from omnitrack.errors import OmnitrackError
from omnitrack.progress import ClipState, Progress, Task
from omnitrack.workers.contract import Job, Share

Send = Callable[[Any], None]  # a `ClipState`, or a `Said`
SEND_SECONDS = 0.3  # between two reports of the same task


@dataclass(frozen=True)
class Said:
    """A note or a warning of a job."""

    text: str
    is_warning: bool


@dataclass(frozen=True)
class Answer:
    """The result of a job: its return value, or why it failed; neither if it was stopped."""

    seconds: float
    result: Any = None
    error: OmnitrackError | None = None
    stopped: bool = False


def carry_out(job: Job, share: Share, send: Send) -> Answer:
    """Run a job in this process.

    Args:
        job: The job to run.
        share: What the job may use.
        send: Receives progress and messages during the job.
    """
    begin = time.perf_counter()
    try:
        if share.cores:
            from omnitrack.device import limit_cores

            limit_cores(share.cores)
        _enter(share.directory)
        result = job.function(*job.arguments, device=share.device, progress=SentProgress(send))
    except KeyboardInterrupt:
        return Answer(time.perf_counter() - begin, stopped=True)
    except Exception as error:  # of any kind: the other clips must not be affected
        if not isinstance(error, OmnitrackError):
            send(Said("".join(traceback.format_exception(error)).rstrip(), is_warning=False))
        return Answer(time.perf_counter() - begin, error=diagnose(error))
    return Answer(time.perf_counter() - begin, result)


def _enter(directory: str) -> None:
    """Change to the directory that relative paths refer to where the user typed them."""
    if not directory:
        return
    try:
        os.chdir(directory)
    except OSError as error:
        raise OmnitrackError(
            f"worker {os.uname().nodename} cannot enter {directory}: {error.strerror}",
            "videos and projects have to be in a directory that all machines of the cluster see",
        ) from error


class SentProgress(Progress):
    """Progress that is sent to another process: the stage of a job, and how far it is."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._stage = ""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return _SentTask(self._send, ClipState(self._stage or name, done, total))

    def plan(self, stages: Sequence[str]) -> None:
        """Send nothing: the stages are the same for all clips."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        outer, self._stage = self._stage, self._stage or name  # a nested stage counts as the outer one
        self._send(ClipState(self._stage))
        try:
            yield
        finally:
            self._stage = outer

    def note(self, text: str) -> None:
        self._send(Said(text, is_warning=False))

    def warn(self, text: str) -> None:
        self._send(Said(text, is_warning=True))


class _SentTask(Task):
    def __init__(self, send: Send, state: ClipState) -> None:
        self._send, self._state, self._sent = send, state, 0.0

    def advance(self, steps: int = 1, **values: float | str) -> None:
        state = self._state
        self._state = ClipState(state.stage, state.done + steps, state.total)
        if time.monotonic() - self._sent > SEND_SECONDS:
            self._tell()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tell()

    def _tell(self) -> None:
        self._sent = time.monotonic()
        self._send(self._state)
