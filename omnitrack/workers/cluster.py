"""Jobs on Ray: one task per clip, placed, retried and cancelled by Ray, on this machine or on many.

Products are in the clips' projects, which all machines see; nothing else is shared. If a worker or machine dies, Ray
retries its task, which continues from what is finished. Progress comes through a mailbox, an actor that may die without
harm.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Board, Progress
from omnitrack.workers.carrying_out import Answer, Said, carry_out
from omnitrack.workers.contract import TRIES, WORKER_HINT, Job, Outcome, Share

LOCAL, CLIENT = "local", "ray://"
LOOK_SECONDS = 0.5  # between two checks of the mailbox
SAVING_SECONDS = 60.0  # for stopped jobs to save their work
KNOCK_SECONDS = 10.0  # to wait for an answer from the cluster
BEGIN = "begin one with: ray start --head; or --cluster local"
TOKEN = "if it asks for a token, which new versions of Ray do: RAY_AUTH_MODE=token RAY_AUTH_TOKEN=$(ray get-auth-token)"
INSTALL = 'pip install "omnitrack-video[cluster]"'


@dataclass(frozen=True)
class _Began:
    """A worker has started a job."""

    where: str


class Cluster:
    """An executor on Ray; see `omnitrack.workers.contract.Executor`.

    Args:
        address: ``local`` starts a cluster of this machine alone; else the address of a running one, such as
            ``ray://HOST:PORT``.
        jobs: Number of jobs at once; None: one per GPU if GPUs are used, else one per machine.
        device: auto, cpu or cuda. Jobs use GPUs for cuda, and for auto if the cluster has any: one GPU per job, or an
            equal share of one if there are more jobs than GPUs.
        memory_bytes: Memory that Ray reserves for each job; 0: none.

    Raises:
        OmnitrackError: Ray is not installed, or a single GPU is named.
    """

    def __init__(self, address: str, jobs: int | None, device: str, memory_bytes: int = 0) -> None:
        if address.startswith(CLIENT):
            _show_token()
        try:
            import ray
        except ImportError as error:
            raise OmnitrackError("--cluster needs Ray, which is not installed", INSTALL) from error
        if device.startswith("cuda:"):
            raise OmnitrackError(f"--device {device} names a GPU, and a cluster hands them out", "type --device cuda")
        self._ray, self._address, self._jobs = ray, address, jobs
        self._device, self._memory_bytes = device, memory_bytes

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        """Run jobs, and yield their outcomes as they end."""
        with redirect_stdout(sys.stderr), self._connected(), progress.board(total) as board:  # Ray prints to stdout
            plan = self._plan(total)
            running = _Running(self._ray, plan, board)
            waiting = enumerate(jobs)
            try:
                for number, job in islice(waiting, plan.jobs):
                    running.submit(number, job)
                while running:
                    for outcome in running.ended():
                        for number, job in islice(waiting, 1):
                            running.submit(number, job)
                        yield outcome
            except BaseException:
                running.stop()
                self._sigterm.raise_again()
                raise

    @contextmanager
    def _connected(self) -> Iterator[None]:
        ray = self._ray
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "critical"}
        if self._address == LOCAL:
            from omnitrack.device import usable_cores

            quiet |= {"include_dashboard": False, "num_cpus": usable_cores()}
        _knock(self._address)
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # Ray's future default; else it warns
        try:
            self._sigterm = _Sigterm()
            ray.init(self._address, **quiet)
            self._sigterm.take_back()
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            cause = str(error).strip().splitlines()[-1]  # the lines above may be a remote traceback
            hint = TOKEN if self._address.startswith(CLIENT) else BEGIN  # the port answers: see `_knock`
            raise OmnitrackError(f"there is no cluster at {self._address}: {cause}", hint) from error
        try:
            yield
        except ConnectionError as error:
            raise OmnitrackError(
                f"the cluster at {self._address} is gone: {error}", "what is finished is kept: type the same again"
            ) from error
        finally:
            with suppress(Exception):  # fails if the cluster is gone
                ray.shutdown()

    def _plan(self, total: int | None) -> _Plan:
        """Return how many jobs run at once, and what each may use of the cluster's machines."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus, gpus = (sum(node.get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU"))
        if self._device == "cuda" and not gpus:
            raise OmnitrackError(f"the cluster at {self._address} has no GPU", "leave out --device, or add machines")
        on_gpu = gpus > 0 and self._device != "cpu"
        jobs = self._jobs or int(gpus if on_gpu else len(nodes)) or 1
        if total is not None:
            jobs = min(jobs, max(1, total))
        largest = max((node.get("CPU", 0.0) for node in nodes), default=1.0)
        cores = max(1, int(min(cpus / jobs, largest)))
        device = "cuda" if on_gpu else "cpu"
        share = Share(cores, device, str(Path.cwd()))
        return _Plan(jobs, share, min(1.0, gpus / jobs) if on_gpu else 0.0, self._memory_bytes)


def _show_token() -> None:
    """Have Ray's client send an existing token, unless configured otherwise: by default it does not."""
    known = any(name in os.environ for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if known or (Path.home() / ".ray" / "auth_token").exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # read when Ray is imported


def _knock(address: str) -> None:
    """Refuse an address that does not answer; Ray would retry it for minutes."""
    host, colon, port = address.removeprefix(CLIENT).rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host, int(port)), KNOCK_SECONDS).close()
    except (OSError, ValueError) as error:
        raise OmnitrackError(f"there is no cluster at {address}: {error}", BEGIN) from error


class _Sigterm:
    """Restores the SIGTERM handler that Ray replaces with one that aborts; Ray also turns every stop into Ctrl-C."""

    def __init__(self) -> None:
        self._handler = signal.getsignal(signal.SIGTERM)
        self._came = False

    def take_back(self) -> None:
        """Restore the effect that SIGTERM had before."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._handle if callable(self._handler) else self._handler)

    def raise_again(self) -> None:
        """Raise again what the handler raised, if it was SIGTERM that stopped the work."""
        if self._came:
            self._handle(signal.SIGTERM, None)

    def _handle(self, sign: int, frame: FrameType | None) -> None:
        self._came = True
        if callable(self._handler):
            self._handler(sign, frame)


@dataclass(frozen=True)
class _Plan:
    jobs: int
    share: Share
    gpus: float
    memory_bytes: int


class _Mailbox:
    """The messages of workers, kept until they are taken; an actor."""

    def __init__(self) -> None:
        self._letters: list[tuple[int, Any]] = []

    def put(self, number: int, told: Any) -> None:
        """Add a message of the job with this number."""
        self._letters.append((number, told))

    def take(self) -> list[tuple[int, Any]]:
        """Return the messages since the last call."""
        letters, self._letters = self._letters, []
        return letters


def _carry_out(number: int, job: Job, share: Share, mailbox: Any) -> Answer:
    """Run a job as a task of Ray."""
    import ray

    with suppress(ray.exceptions.RayError):  # wait for delivery, so that the worker is known if it dies
        ray.get(mailbox.put.remote(number, _Began(f"process {os.getpid()} on {socket.gethostname()}")))
    return carry_out(job, share, lambda told: mailbox.put.remote(number, told))


class _Running:
    """The running tasks."""

    def __init__(self, ray: Any, plan: _Plan, board: Board) -> None:
        self._ray, self._plan, self._board = ray, plan, board
        self._mailbox = ray.remote(num_cpus=0, max_restarts=-1)(_Mailbox).remote()
        memory = {"memory": plan.memory_bytes} if plan.memory_bytes else {}
        self._task = ray.remote(num_cpus=plan.share.cores, num_gpus=plan.gpus, max_retries=TRIES - 1, **memory)(
            _carry_out
        )
        self._jobs: dict[Any, tuple[int, Job]] = {}
        self._names: dict[int, str] = {}
        self._tries: dict[int, list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._jobs)

    def submit(self, number: int, job: Job) -> None:
        """Hand a job to Ray."""
        self._names[number], self._tries[number] = job.name, []
        reference = self._task.remote(number, job, self._plan.share, self._mailbox)
        self._jobs[reference] = number, job

    def ended(self) -> Iterator[Outcome]:
        """Wait briefly, and yield the outcomes of the tasks that have ended."""
        done, _ = self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=LOOK_SECONDS)
        self._read_mail()
        for reference in done:
            number, job = self._jobs.pop(reference)
            yield self._outcome(reference, number, job)

    def stop(self) -> None:
        """Tell all tasks to save their work, and wait for them."""
        with suppress(Exception):  # the cluster may be gone
            for reference in self._jobs:
                self._ray.cancel(reference, force=False)
            self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=SAVING_SECONDS)

    def _outcome(self, reference: Any, number: int, job: Job) -> Outcome:
        tries = max(1, len(self._tries[number]))
        try:
            answer: Answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            where = self._tries[number][-1] if self._tries[number] else "its worker"
            cause = type(error).__name__
            failure = OmnitrackError(f"{where} died, the last of {tries} that tried ({cause})", WORKER_HINT)
            self._board.ended(job.name, 0.0, failure.message)
            return Outcome(number, job.name, error=failure, tries=tries)
        failed = answer.error or (OmnitrackError("it was stopped", "type the same again") if answer.stopped else None)
        self._board.ended(job.name, answer.seconds, failed.message if failed else "")
        return Outcome(number, job.name, answer.result, failed, answer.seconds, tries)

    def _read_mail(self) -> None:
        letters: list[tuple[int, Any]] = []
        with suppress(self._ray.exceptions.RayError):  # Ray restarts the mailbox, and the work continues
            letters = self._ray.get(self._mailbox.take.remote())
        for number, told in letters:
            name, tries = self._names[number], self._tries[number]
            if isinstance(told, _Began):
                if tries:
                    self._board.say(name, f"{tries[-1]} died; another one continues", is_warning=True)
                tries.append(told.where)
                self._board.began(name, told.where)
            elif isinstance(told, Said):
                self._board.say(name, told.text, told.is_warning)
            else:
                self._board.state(name, told)
