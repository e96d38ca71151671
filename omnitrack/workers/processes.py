"""Jobs in processes of this machine, each process in its own pool of `concurrent.futures`.

A process that is killed breaks only its own pool: the job it had is known, and a new process continues it. Each process
has its own process group, so that Ctrl-C at a terminal reaches this process alone, which then signals the others. Each
process ends with this one, however this one ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from pickle import UnpicklingError
from queue import SimpleQueue

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Board, Progress
from omnitrack.workers import in_process
from omnitrack.workers.carrying_out import Answer, Said
from omnitrack.workers.contract import TRIES, WORKER_HINT, Job, Outcome, Share

LISTENING_SECONDS = 5.0  # to wait for the last messages of a process that has ended
ENDING_SECONDS = 5.0  # to wait for the exit status of a process whose pool has broken
SAVING_SECONDS = 60.0  # for stopped jobs to save their work


class Processes:
    """An executor of local processes; see `omnitrack.workers.contract.Executor`.

    Args:
        shares: What each process may use; one process per share.
    """

    def __init__(self, shares: Iterable[Share]) -> None:
        self._shares = list(shares)

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        """Run jobs, and yield their outcomes as they end."""
        waiting, running = enumerate(jobs), set[Future[Outcome]]()
        with progress.board(total) as board, ThreadPoolExecutor(len(self._shares)) as threads:
            workers = [_Worker(share, board) for share in self._shares]
            free: SimpleQueue[_Worker] = SimpleQueue()
            for worker in workers:
                free.put(worker)

            def do(number: int, job: Job) -> Outcome:
                worker = free.get()
                try:
                    return worker.do(number, job)
                finally:
                    free.put(worker)

            try:
                running |= {threads.submit(do, *next_one) for next_one in islice(waiting, len(workers))}
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    running |= {threads.submit(do, *next_one) for next_one in islice(waiting, len(done))}
                    yield from (future.result() for future in done)
            finally:
                _end(workers, running)


def _end(workers: list[_Worker], running: set[Future[Outcome]]) -> None:
    """End the processes; if this one was stopped while jobs are running, let them save their work first."""
    try:
        for worker in workers:
            worker.tell(signal.SIGTERM)
        wait(running, SAVING_SECONDS)
    finally:  # also if Ctrl-C is pressed again
        for worker in workers:
            worker.close()


class _Worker:
    """A process that runs one job after another; if it dies, a new process replaces it."""

    def __init__(self, share: Share, board: Board) -> None:
        self._share, self._board = share, board
        self._pool: ProcessPoolExecutor | None = None
        self._process: multiprocessing.process.BaseProcess | None = None
        self._stopping = False
        self._listener: threading.Thread | None = None

    def do(self, number: int, job: Job) -> Outcome:
        """Run a job, with a new process each time one dies during it."""
        how = ""
        for tries in range(1, TRIES + 1):
            try:
                pool = self._ready()
                self._board.began(job.name, f"process {self._pid}")
                answer: Answer = pool.submit(in_process.carry_out_job, job).result()
            except BrokenProcessPool:
                how = f"its process {self._pid} {_how_it_ended(self._process)}"
            else:
                if not answer.stopped:
                    self._board.ended(job.name, answer.seconds, answer.error.message if answer.error else "")
                    return Outcome(number, job.name, answer.result, answer.error, answer.seconds, tries)
                how = f"its process {self._pid} was told to end by SIGTERM"
            self.close()
            if self._stopping:
                return Outcome(number, job.name, error=OmnitrackError("it was stopped"), tries=tries)
            if tries < TRIES:
                self._board.say(job.name, f"{how}; another one continues", is_warning=True)
        error = OmnitrackError(f"{how}, as {TRIES - 1} others before", WORKER_HINT)
        self._board.ended(job.name, 0.0, error.message)
        return Outcome(number, job.name, error=error, tries=TRIES)

    def tell(self, sign: int) -> None:
        """Send the process a signal, if there is one; it is not replaced."""
        self._stopping = True
        if self._process is not None and self._process.pid is not None and self._process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, sign)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        pool, self._pool = self._pool, None
        if pool is not None:
            if self._process is not None and self._process.is_alive():
                self._process.kill()
            pool.shutdown(wait=True, cancel_futures=True)
        if self._listener is not None:
            self._listener.join(LISTENING_SECONDS)

    @property
    def _pid(self) -> int:
        return (self._process.pid if self._process else None) or 0

    def _ready(self) -> ProcessPoolExecutor:
        """Return the pool; start its process and the thread that listens to it if there is none."""
        if self._pool is None:
            spawning = multiprocessing.get_context("spawn")  # a fork would copy threads' locks in any state
            listening, speaking = spawning.Pipe(duplex=False)
            pool = ProcessPoolExecutor(1, spawning, in_process.begin, (speaking, self._share))
            self._pool, self._process = pool, None
            pid = pool.submit(os.getpid).result()
            speaking.close()  # this process's copy: reading ends when the worker closes its own
            self._process = next(p for p in multiprocessing.active_children() if p.pid == pid)
            self._listener = threading.Thread(target=self._listen, args=(listening,), daemon=True)
            self._listener.start()
        if self._stopping:
            raise BrokenProcessPool  # stopped before there was a process to signal
        return self._pool

    def _listen(self, pipe: Connection) -> None:
        with pipe, suppress(EOFError, OSError, UnpicklingError):  # the process ended, or was killed in mid-message
            while True:
                name, told = pipe.recv()
                if isinstance(told, Said):
                    self._board.say(name, told.text, told.is_warning)
                else:
                    self._board.state(name, told)


def _how_it_ended(process: multiprocessing.process.BaseProcess | None) -> str:
    if process is None:
        return "could not be started"
    end = time.monotonic() + ENDING_SECONDS
    while (code := process.exitcode) is None and time.monotonic() < end:
        time.sleep(0.01)  # the pool's thread waits for it too: only one of the two gets its status at once
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended with exit status {code}"
