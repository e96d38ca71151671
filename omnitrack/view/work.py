"""Flow and fit in a separate process, so that the page stays responsive; it stops as on Ctrl-C, with its work saved."""

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
from omnitrack.interrupts import end_on
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.graph import NODE_OF, Work, needed_for, wanted_stamps

TELL_SECONDS = 0.2  # between two messages about one task
STOP_SECONDS = 60.0  # grace period for saving; then the process is killed
# Phases of the work: not begun, in progress, ended in one of four ways, or blocked by another process.
IDLE, WORKING, DONE, KEPT, FAILED, STOPPED, BUSY = "idle", "working", "done", "kept", "failed", "stopped", "busy"


@dataclass(frozen=True)
class Standing:
    """The state of the work.

    Attributes:
        phase: One of the phases above.
        task: The current task: flow, fit ...
        done: Steps done, of `total`.
        total: Steps of the task; 0 if nothing is counted.
        unit: Unit of the steps.
        values: Values beside the bar: losses.
        text: Message to the user.
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
    """The process that makes a product of a project, and what that product needs.

    Args:
        root: Directory of the project.
        settings: Settings of the work.
        device: Device to compute on.
        seed: Random seed of the fit.
        target: The product, a name in `omnitrack.stages.graph.NODES`.
    """

    def __init__(self, root: Path, settings: Settings, device: str, seed: int, target: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self._ear, mouth = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(root, settings, device, seed, target, mouth))
        self._process.start()
        mouth.close()  # the child has its own end: when the child ends, the pipe closes
        self.standing = Standing(WORKING)

    def hear(self) -> Standing:
        """Return the current state."""
        try:
            while self._ear.poll():
                self.standing = self._ear.recv()
        except (EOFError, OSError):
            if self.standing.phase == WORKING:  # it ended without a final message
                self._process.join()
                text = f"the work in the background ended with status {self._process.exitcode}"
                self.standing = Standing(FAILED, self.standing.task, text=text, hint="see the terminal")
        return self.standing

    def stop(self) -> None:
        """End the process; its finished work is saved."""
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
    end_on(signal.SIGTERM, signal.SIGINT, end=_stop, once=True)
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


def _stop() -> None:
    raise KeyboardInterrupt


def _brought_up(target: str, work: Work) -> Standing:
    """Make missing products. Existing products stay, even if these settings would give different ones."""
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
    """Sends every change through a pipe; if the other end is closed, stops the work."""

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
