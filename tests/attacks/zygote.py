"""A process that has imported omnitrack, and forks command lines that can be killed at their n-th change on disk.

Starting Python and torch takes seconds, a fork takes milliseconds: hundreds of kills fit into a test run. Run as a
program, it reads one request per line from stdin, a JSON list of `Job`s that start together, and answers with a line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

try:
    import resource
except ModuleNotFoundError:  # Windows, where nothing is forked
    resource = None  # type: ignore[assignment]

RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
OF_PYTHON = ("unexpected", "Traceback", "__init__", "NoneType", "object is not", "object has no", "unsupported operand")


@dataclass(frozen=True)
class Job:
    """One command line of omnitrack, in its own process.

    Attributes:
        arguments: The arguments without the program's name.
        kill_at: SIGKILL before the n-th change below `watched`, counted from 1; 0: never.
        after: Seconds until the signal `by` ends the process; 0: never.
        by: The signal.
        watched: Directory whose changes count.
        memory: Bytes of address space allowed beyond that of the zygote; 0: unlimited.
    """

    arguments: list[str]
    kill_at: int = 0
    after: float = 0.0
    by: int = signal.SIGKILL
    watched: str = "/"
    memory: int = 0


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    Attributes:
        status: Exit status, or minus the signal that ended the process.
        said: Its output to stderr and stdout.
        changes: Number of changes below `Job.watched`.
        took: Peak memory in bytes beyond that of the zygote; of the process or of a program that it ran (ffmpeg),
            whichever is larger.
    """

    status: int
    said: str
    changes: int
    took: int

    @property
    def is_clear(self) -> bool:
        """Whether it succeeded, or was refused with a next step, in its own words and not in Python's."""
        refused = self.status == 1 and "error: " in self.said and "hint: " in self.said
        return (self.status == 0 or refused) and not any(word in self.said for word in OF_PYTHON)


class Zygote:
    """The process, as a test uses it; a context manager.

    Args:
        environment: Variables in addition to those of the test process.
    """

    def __init__(self, **environment: str) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, env={**os.environ, **environment}
        )

    def run(self, *jobs: Job) -> list[Ended]:
        """Run jobs that start at the same moment, and wait for all of them."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        return [Ended(**ended) for ended in json.loads(self._process.stdout.readline())]

    def command(self, *arguments: str | Path, memory: int = 0) -> Ended:
        """Run one command line to its end; for `memory` see `Job`."""
        return self.run(Job([str(argument) for argument in arguments], memory=memory))[0]

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


# --- in the forking process -------------------------------------------------------------------------------------
def _serve() -> None:
    _import_all()
    for line in sys.stdin:
        jobs = [Job(**job) for job in json.loads(line)]
        print(json.dumps([asdict(ended) for ended in _run(jobs)]), flush=True)


def _import_all() -> None:
    import omnitrack.stages.evaluate
    import omnitrack.stages.render
    import omnitrack.stages.run  # noqa: F401


def _run(jobs: Sequence[Job]) -> list[Ended]:
    start, go = os.pipe()
    with ExitStack() as open_files:
        logs, counts = (
            [open_files.enter_context(tempfile.TemporaryFile()) for _ in jobs] for _ in ("what is said", "changes")
        )
        children = []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT
        for job, log, count in zip(jobs, logs, counts, strict=True):
            child = os.fork()
            if not child:
                os.close(go)
                _child(job, start, log.fileno(), count.fileno())
            children.append(child)
        os.close(start)
        os.write(go, b"." * len(jobs))
        os.close(go)
        ended = []
        for child, log, count in zip(children, logs, counts, strict=True):
            _, code, used = os.wait4(child, 0)
            took = max(0, used.ru_maxrss * RSS_UNIT - before)
            said, changes = (os.pread(file.fileno(), 1 << 20, 0).decode("utf-8", "replace") for file in (log, count))
            ended.append(Ended(os.waitstatus_to_exitcode(code), said, len(changes), took))
        return ended


def _child(job: Job, start: int, log: int, count: int) -> None:
    status = 70
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        from omnitrack.cli.app import execute
        from omnitrack.cli.failures import stop_on_signals

        stop_on_signals()
        if job.memory:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            most = pages * os.sysconf("SC_PAGE_SIZE") + job.memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        sys.addaudithook(_Hook(job, count))
        os.read(start, 1)
        if job.after:
            _end_later(job.after, job.by)
        status = execute(job.arguments)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end_later(seconds: float, by: int) -> None:
    """Send the signal from another process: a busy process handles its own timers late."""
    here = os.getpid()
    if not os.fork():
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        import time

        time.sleep(seconds)
        if os.getppid() == here:
            os.kill(here, by)
        os._exit(0)


class _Hook:
    """Counts the changes on disk below a directory, one byte each, and kills its process before one of them."""

    def __init__(self, job: Job, count: int) -> None:
        self._job, self._count, self._made = job, count, 0

    def __call__(self, event: str, arguments: Sequence[Any]) -> None:
        if event in CHANGES or (event == "open" and _writes(arguments)):
            path = arguments[0]
            if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self._job.watched):
                self._made += 1
                if self._made == self._job.kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                os.write(self._count, b".")


def _writes(arguments: Sequence[Any]) -> bool:
    _, mode, flags = arguments
    return (isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))) or bool(
        mode and set(mode) & set("wax+")
    )


if __name__ == "__main__":
    _serve()
