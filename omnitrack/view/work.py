"""Measures and fits in a process of its own, so that the page stays quick; it ends as by Ctrl-C, with all saved."""

from __future__ import annotations

import multiprocessing
import signal
import time
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.graph import NODE_OF, Work, needed_for, wanted_stamps

TELL_SECONDS = 0.2  # between two messages about one task
STOP_SECONDS = 60.0  # for saving; after that the process is killed
# How the work may stand: it may not have begun, end in one of four ways, or be in another's hands.
IDLE, WORKING, DONE, KEPT, FAILED, STOPPED, BUSY = "idle", "working", "done", "kept", "failed", "stopped", "busy"


@dataclass(frozen=True)
class Standing:
    """How far the work is.

    Attributes:
        phase: One of the words above.
        task: What is being done: flow, fit ...
        done: Of `total` steps.
        total: Of the task; 0 where nothing is counted.
        unit: Of the steps.
        values: Beside the bar: losses.
        text: What there is to say.
        hint: What to do next.
    """

    phase: str = IDLE
    task: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    values: dict[str, float | str] = field(default_factory=dict)
    text: str = ""
    hint: str = ""


class BackgroundWork:
    """The process that brings a project up to a product.

    Args:
        root: Of the project.
        settings: To work by.
        device: Where.
        seed: Of the fit.
        target: The product, a name in `omnitrack.stages.graph.NODES`.
    """

    def __init__(self, root: Path, settings: Settings, device: str, seed: int, target: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._ear, mouth = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(root, settings, device, seed, target, mouth))
        self._process.start()
        mouth.close()  # the child has its own: when that ends, the pipe does
        self.standing = Standing(WORKING)

    def hear(self) -> Standing:
        """How it stands now."""
        try:
            while self._ear.poll():
                self.standing = self._ear.recv()
        except (EOFError, OSError):
            if self.standing.phase == WORKING:  # without a last word
                self._process.join()
                text = f"the work in the background ended with status {self._process.exitcode}"
                self.standing = Standing(FAILED, self.standing.task, text=text, hint="see the terminal")
        return self.standing

    def stop(self) -> None:
        """End it; what it has done is saved."""
        if self.standing.phase != WORKING:
            self._process.join(STOP_SECONDS)  # it is about to end by itself
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(STOP_SECONDS)
        if self._process.is_alive():
            self._process.kill()
        self._process.join()
        self._ear.close()


# --- in the process ---------------------------------------------------------------------------------------------
def _work(root: Path, settings: Settings, device: str, seed: int, target: str, mouth: Connection) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_once)
    progress = _Telling(mouth)
    try:
        work = Work(Project(root), settings, device, seed, progress)
        progress.tell(_brought_up(target, work))
    except KeyboardInterrupt:
        progress.tell(Standing(STOPPED, text="what was finished is saved"))
    except UnavailableError as error:
        progress.tell(Standing(BUSY, text=error.message, hint=error.hint or ""))
    except OmnitrackError as error:
        progress.tell(Standing(FAILED, text=error.message, hint=error.hint or ""))


def _stop_once(*_: object) -> None:
    """As Ctrl-C; a second signal does not disturb the saving."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _brought_up(target: str, work: Work) -> Standing:
    """Make what is missing. What is there stays, even where these settings would make it otherwise."""
    fit = NODE_OF["fit"].stored(work.project)
    if fit.stamp is not None and fit.complete:
        return Standing(DONE)
    wanted = wanted_stamps(work, target)
    for node in needed_for(target):
        there = node.stored(work.project).stamp
        if there is not None and wanted[node.name] is not None and there != wanted[node.name]:
            text = f"not fitted here: {node.name} was made with other settings"
            return Standing(KEPT, text=text, hint=f"see what there is: omnitrack info {work.project.root}")
    bring_up_to(target, work)
    return Standing(DONE)


class _Telling(Progress):
    """Sends every change through a pipe; where nobody listens any more, it stops the work."""

    def __init__(self, mouth: Connection) -> None:
        self._mouth = mouth

    def tell(self, standing: Standing) -> None:
        try:
            self._mouth.send(standing)
        except OSError:
            raise KeyboardInterrupt from None

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return _TellingTask(self, Standing(WORKING, name, done, total, unit))


class _TellingTask(Task):
    def __init__(self, progress: _Telling, standing: Standing) -> None:
        self._progress, self._first = progress, standing
        self._done, self._values, self._told = standing.done, standing.values, time.monotonic()
        progress.tell(standing)

    def advance(self, steps: int = 1, **values: float | str) -> None:
        self._done += steps
        self._values = {**self._values, **values}
        if time.monotonic() - self._told > TELL_SECONDS:
            self._tell()

    def _tell(self) -> None:
        first: Any = self._first
        self._told = time.monotonic()
        self._progress.tell(Standing(WORKING, first.task, self._done, first.total, first.unit, self._values))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._tell()
