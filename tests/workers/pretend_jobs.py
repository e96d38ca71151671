"""Jobs that other processes import by name: their arguments control what they do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress


def square(number: int, device: str = "", progress: Progress = SILENT) -> tuple[int, str, int]:
    """Return a computed number, the device and the process."""
    with progress.stage("squaring"), progress.task("square", 2) as task:
        task.advance()
    return number**2, device, os.getpid()


def fail(kind: str, device: str = "", progress: Progress = SILENT) -> None:
    """Fail with an expected error, or with an unexpected one."""
    if kind == "known":
        raise OmnitrackError("the clip is blank", "film something")
    raise ZeroDivisionError("by nought")


def die(marks: Path, times: int, device: str = "", progress: Progress = SILENT) -> str:
    """Leave a mark and be killed, `times` times; then succeed, and return the number of tries."""
    marks.mkdir(exist_ok=True)
    tried = len(list(marks.iterdir())) + 1
    (marks / str(tried)).touch()
    if tried <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"try {tried}"


def sleep(marks: Path, device: str = "", progress: Progress = SILENT) -> None:
    """Work for a long time, and save when stopped."""
    marks.mkdir(exist_ok=True)
    try:
        (marks / f"began-{os.getpid()}").touch()  # within: a signal may arrive as soon as the mark is there
        for _ in range(600):  # one long sleep would not notice an interrupt that is not a signal
            time.sleep(0.1)
    except KeyboardInterrupt:
        (marks / f"saved-{os.getpid()}").touch()
        raise


@contextmanager
def marking(marks: Path, refuses: tuple[int, ...] = (), kills: tuple[int, ...] = ()) -> Iterator[Callable[[int], None]]:
    """Open numbered jobs: each leaves a mark of its process; some fail in any other process, or kill it."""

    def do(number: int) -> None:
        print("what a library says")
        if number in refuses or number in kills:
            (marks / "tried").touch()
        if number in refuses:
            raise ZeroDivisionError("by nought")
        if number in kills:
            os.kill(os.getpid(), signal.SIGKILL)
        (marks / f"{number}-{os.getpid()}").touch()

    yield do


@contextmanager
def lasting(marks: Path) -> Iterator[Callable[[int], None]]:
    """Open jobs that last until they are stopped, and leave marks of their begin and end."""

    def do(number: int) -> None:
        try:
            (marks / f"began-{os.getpid()}").touch()
            time.sleep(60)
        finally:
            (marks / f"ended-{os.getpid()}").touch()

    yield do
