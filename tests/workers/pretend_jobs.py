"""Jobs that other processes import by name: what they do is told by their arguments."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress


def square(number: int, device: str = "", progress: Progress = SILENT) -> tuple[int, str, int]:
    """Something to compute, and where."""
    with progress.stage("squaring"), progress.task("square", 2) as task:
        task.advance()
    return number**2, device, os.getpid()


def fail(kind: str, device: str = "", progress: Progress = SILENT) -> None:
    """A failure that was foreseen, or one that was not."""
    if kind == "known":
        raise OmnitrackError("the clip is blank", "film something")
    raise ZeroDivisionError("by nought")


def die(marks: Path, times: int, device: str = "", progress: Progress = SILENT) -> str:
    """Leave a mark and be killed, so many times; then end well, and tell how often it was tried."""
    marks.mkdir(exist_ok=True)
    tried = len(list(marks.iterdir())) + 1
    (marks / str(tried)).touch()
    if tried <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return f"try {tried}"


def sleep(marks: Path, device: str = "", progress: Progress = SILENT) -> None:
    """Work for long, and save where it is stopped."""
    marks.mkdir(exist_ok=True)
    (marks / f"began-{os.getpid()}").touch()
    try:
        for _ in range(600):  # one long sleep would not hear of an interrupt that is no signal
            time.sleep(0.1)
    except KeyboardInterrupt:
        (marks / f"saved-{os.getpid()}").touch()
        raise
