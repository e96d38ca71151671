"""The life of a local worker process: from its start to the end of its parent process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

from omnitrack.interrupts import end_on
from omnitrack.workers.carrying_out import Answer, carry_out
from omnitrack.workers.contract import Job, Share

SIGTERM_STATUS = 143  # 128 + the signal, as in shells
_told: Connection
_share: Share
_telling = threading.Lock()
_busy = threading.Lock()  # held while a job is running
_orphaned = threading.Event()


class Stopped(KeyboardInterrupt):
    """The parent process wants the job to save its work, and to end."""


def begin(pipe: Connection, share: Share) -> None:
    """Prepare this process.

    Args:
        pipe: Receives progress and messages of jobs.
        share: What this process may use.
    """
    global _told, _share
    _told, _share = pipe, share
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C must reach only the parent, which then signals this process; not ffmpeg either
    end_on(signal.SIGTERM, end=_stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def carry_out_job(job: Job) -> Answer:
    """Run a job in this worker process."""
    with _busy:
        answer = carry_out(job, _share, partial(_tell, job.name))
    if _orphaned.is_set():
        os._exit(SIGTERM_STATUS)  # nobody waits for the answer
    return answer


def _tell(name: str, words: Any) -> None:
    try:
        with _telling:
            _told.send((name, words))
    except OSError:  # the parent is gone
        _orphaned.set()


def _stop() -> None:
    if _busy.locked():
        raise Stopped
    os._exit(SIGTERM_STATUS)


def _end_with_parent() -> None:
    """Save and end if the parent process has ended: idle workers would wait forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        _orphaned.set()
        os.kill(os.getpid(), signal.SIGTERM)
