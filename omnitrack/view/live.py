"""What is new while the page is open: the work in the background, newer checkpoints, messages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.view.answers import Answers
from omnitrack.view.points import PointList
from omnitrack.view.work import BUSY, BackgroundWork, Standing

LOOK_SECONDS = 0.25
RETRY_SECONDS = 60.0  # after another process had the project, and its lock is still there
MESSAGES = 20  # that are kept for pages that come later


class Messages(Progress):
    """Keeps the last things that the tracker had to say, each once."""

    def __init__(self) -> None:
        self.texts: deque[str] = deque(maxlen=MESSAGES)

    def note(self, text: str) -> None:
        if text not in self.texts:
            self.texts.append(text)

    warn = note


class Live:
    """Tends the background work, looks for what is new, and says all of it in one snapshot.

    Args:
        project: Is looked at.
        answers: Is told to look.
        points: Say their revision.
        begin: Starts the work that is missing; None where there is nothing to start.
        messages: What the tracker says.
    """

    def __init__(
        self,
        project: Project,
        answers: Answers,
        points: PointList,
        begin: Callable[[], BackgroundWork] | None,
        messages: Messages,
    ) -> None:
        self._project, self._answers, self._points, self._begin = project, answers, points, begin
        self._messages = messages
        self._work: BackgroundWork | None = None
        self._standing, self._ended_at = Standing(), 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="omnitrack-live", daemon=True)

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking, and end the work, whose results so far are saved."""
        self._closing.set()
        self._thread.join()
        if self._work is not None:
            self._work.stop()

    def snapshot(self) -> dict[str, Any]:
        """All that changes by itself, as plain values.

        Returns:
            work (`Standing`), answers (the version), state, points (their revision), messages, damage.
        """
        return {
            "work": asdict(self._standing),
            "answers": self._answers.version,
            "state": self._answers.state,
            "points": self._points.revision,
            "messages": list(self._messages.texts),
            "damage": self._answers.damage,
        }

    def _tend(self) -> None:
        self._answers.look()  # before the work: the first click waits for this, and the machine is not shared yet
        if self._begin is not None and not self._closing.is_set():
            self._work = self._begin()
        while not self._closing.wait(LOOK_SECONDS):
            self._answers.look()
            if self._work is not None:
                self._hear(self._work)
            elif self._standing.phase == BUSY and self._begin is not None and self._may_retry():
                self._work = self._begin()

    def _hear(self, work: BackgroundWork) -> None:
        self._standing = work.hear()
        if self._standing.phase != "working":
            work.stop()
            self._work, self._ended_at = None, time.monotonic()

    def _may_retry(self) -> bool:
        """Another process that had the project is gone, or may be: a killed one leaves its lock behind."""
        return not self._project.lock_path.exists() or time.monotonic() - self._ended_at > RETRY_SECONDS
