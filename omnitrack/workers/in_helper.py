"""The life of a helper process: it does the jobs whose numbers it reads, until it is stopped or its parent ends."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from contextlib import suppress
from queue import SimpleQueue
from typing import BinaryIO

from omnitrack.interrupts import end_on
from omnitrack.workers.helpers import DONE, READY, Begin


def main() -> None:
    """Do jobs, one after another, each answered by a line."""
    end_on(signal.SIGTERM, end=_stop)
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a library prints is no answer
    begin: Begin = pickle.load(sys.stdin.buffer)
    numbers = SimpleQueue[int]()
    threading.Thread(target=_read, args=(sys.stdin.buffer, numbers), daemon=True).start()
    with suppress(KeyboardInterrupt), begin() as do:
        answers.write(READY)
        while True:
            do(numbers.get())
            answers.write(DONE)


def _read(orders: BinaryIO, numbers: SimpleQueue[int]) -> None:
    for line in orders:
        numbers.put(int(line))
    os.kill(os.getpid(), signal.SIGTERM)  # the parent process has ended, or needs no more help


def _stop() -> None:
    raise KeyboardInterrupt
