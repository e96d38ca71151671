"""What changes while the page is open: background work, new checkpoints, messages."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.view.answers import Answers
from omnitrack.view.points import PointList
from omnitrack.view.work import BUSY, BackgroundWork, Standing

LOOK_SECONDS = 0.25
RETRY_SECONDS = 60.0  # before a retry while another process's lock on the project remains
MESSAGES = 20  # kept for pages that are opened later


class Messages(Progress):
    """Keeps the latest messages of the tracker, each once."""

    def __init__(self) -> None:
        self.texts: deque[str] = deque(maxlen=MESSAGES)

    def note(self, text: str) -> None:
        if text not in self.texts:
            self.texts.append(text)

    warn = note


class Live:
    """Runs the background work, checks for new data, and reports everything in one snapshot.

    Args:
        project: The project of the page.
        answers: Checked regularly for new data.
        points: Provide their revision.
        begin: Starts the missing work; None if there is none.
        messages: The messages of the tracker.
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
        self._threads = [threading.Thread(target=of, daemon=True) for of in (self._tend, self._prepare)]

    def __enter__(self) -> Live:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop checking and end the work; its results so far are saved."""
        self._closing.set()
        for thread in self._threads:
            thread.join()
        if self._work is not None:
            self._work.stop()

    def snapshot(self) -> dict[str, Any]:
        """Return everything that changes by itself, as plain values.

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
        self._answers.look()  # before the work: the first click waits for this, and the machine is still idle
        if self._begin is not None and not self._closing.is_set():
            self._work = self._begin()
        while not self._closing.wait(LOOK_SECONDS):
            self._answers.look()
            if self._work is not None:
                self._hear(self._work)
            elif self._standing.phase == BUSY and self._begin is not None and self._may_retry():
                self._work = self._begin()

    def _prepare(self) -> None:
        """Improve the answers that left points lost; the pages then ask again."""
        while not self._closing.wait(LOOK_SECONDS):
            with suppress(OmnitrackError):  # `Answers.look` reports it
                self._answers.prepare()

    def _hear(self, work: BackgroundWork) -> None:
        self._standing = work.hear()
        if self._standing.phase != "working":
            work.stop()
            self._work, self._ended_at = None, time.monotonic()

    def _may_retry(self) -> bool:
        """Whether the process that used the project has ended, or may have: a killed one leaves its lock behind."""
        return not self._project.lock_path.exists() or time.monotonic() - self._ended_at > RETRY_SECONDS
