"""Processes that help this one with the numbered jobs of a stage.

Python runs the instructions of one thread at a time, so jobs that consist of many short calls gain little from threads.
This process works too, and helpers start only if what is left will take longer than they take to start. Whatever a
helper does not finish, because it was killed or could not start, this process does: a helper affects only the time.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from queue import SimpleQueue

Do = Callable[[int], None]
Begin = Callable[[], AbstractContextManager[Do]]

HESITATION_SECONDS = 0.5  # after which helpers start, if what is left then will take `WORTH_SECONDS`
WORTH_SECONDS = 2.0  # a helper takes 1.5 to load what it needs
ENDING_SECONDS = 10.0  # for a helper to remove what it has not finished
READY, DONE = b"ready\n", b"done\n"


def do_all(numbers: Iterable[int], do: Do, begin: Begin, helpers: int, done: Do) -> None:
    """Do every numbered job once, in any order, in this process and in helpers.

    Args:
        numbers: The jobs.
        do: Does a job in this process.
        begin: Opens the same in a helper, which unpickles it.
        helpers: Largest number of helpers.
        done: Called in this thread with each number that is done.
    """
    jobs = _Jobs(numbers)
    missing = len(jobs.waiting)
    helping = [_Helper(begin, jobs) for _ in range(min(helpers, missing - 1))]
    try:
        while missing:
            number = jobs.take()
            if number is not None:
                do(number)
                jobs.ended.put((number, True))
            while missing and not (jobs.waiting and jobs.ended.empty()):  # helpers may have all that is left
                number, is_done = jobs.ended.get()
                if is_done:
                    missing, jobs.done = missing - 1, jobs.done + 1
                    done(number)
                else:
                    jobs.waiting.append(number)
    finally:
        for helper in helping:
            helper.tell_to_end()
        for helper in helping:
            helper.wait()


class _Jobs:
    """The jobs that wait, the number of those that are done, and a queue of what was taken: (number, is it done)."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self.waiting = deque(numbers)
        self.done = 0
        self.ended: SimpleQueue[tuple[int, bool]] = SimpleQueue()

    def take(self) -> int | None:
        """Take a job, if one is left; from any thread."""
        try:
            return self.waiting.popleft()
        except IndexError:
            return None


class _Helper:
    """A process that does one job after another, and the thread that starts it and hands them to it."""

    def __init__(self, begin: Begin, jobs: _Jobs) -> None:
        self._begin, self._jobs = pickle.dumps(begin), jobs
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._help, daemon=True)
        self._thread.start()

    def tell_to_end(self) -> None:
        """Stop the process, whatever it is doing."""
        self._ending.set()
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait for the end of the process."""
        self._thread.join(ENDING_SECONDS)
        if self._thread.is_alive() and self._process is not None:
            self._process.kill()

    def _help(self) -> None:
        if self._ending.wait(HESITATION_SECONDS):
            return
        if len(self._jobs.waiting) * HESITATION_SECONDS < WORTH_SECONDS * (self._jobs.done + 1):
            return
        with suppress(OSError), _started() as self._process:  # it cannot start, or has ended
            if self._ending.is_set():
                self._process.terminate()
            self._hand_out(self._process)

    def _hand_out(self, process: subprocess.Popen[bytes]) -> None:
        orders, answers = process.stdin, process.stdout
        assert orders is not None and answers is not None
        orders.write(self._begin)
        orders.flush()
        is_done = answers.readline() == READY
        while is_done and (number := self._jobs.take()) is not None:
            is_done = False
            try:
                orders.write(b"%d\n" % number)
                orders.flush()
                is_done = answers.readline() == DONE
            finally:
                self._jobs.ended.put((number, is_done))


def _started() -> subprocess.Popen[bytes]:
    """Start a helper; unlike `multiprocessing`, without importing the user's script in it.

    It has its own session: Ctrl-C at a terminal reaches this process only, which then stops it.

    Raises:
        OSError: It cannot be started.
    """
    python = os.fsdecode(multiprocessing.spawn.get_executable() or sys.executable)
    if "python" not in Path(python).name.lower():
        raise OSError(f"{python} is another program, with Python in it")
    begin = f"import sys; sys.path[:] = {sys.path!r}; from omnitrack.workers.in_helper import main; main()"
    return subprocess.Popen(
        [python, "-c", begin],  # not -m, with which Python might import what is in the current directory
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
