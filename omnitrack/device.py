"""The device to compute on, and the number of its cores to use; torch is imported by what asks for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from omnitrack.errors import OmnitrackError

if TYPE_CHECKING:
    import torch

_threads = 0  # of compiled kernels; 0: all cores
_most_cores = 0  # that this process may use; 0: all


def pick_device(name: str) -> torch.device:
    """Return the device of that name: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: No such device.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):  # torch has more, which lack some operations used here
        raise OmnitrackError(f"there is no device called {name!r}", "use auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise OmnitrackError(
            f"device {name} is not there: torch sees {torch.cuda.device_count()} GPUs",
            "use --device cpu, or install a torch that supports your GPU (omnitrack doctor)",
        )
    return device


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let compiled kernels use `count` CPU threads in the block (0: all cores), and torch as many (0: one).

    Torch's own operations in an optimisation step are small: they are slower on more threads.
    """
    import torch

    global _threads
    before = torch.get_num_threads(), _threads
    try:
        torch.set_num_threads(count or 1)
        _threads = count
        yield
    finally:
        torch.set_num_threads(before[0])
        _threads = before[1]


def kernel_threads() -> int:
    """Return the number of threads that a compiled kernel may use now."""
    return _threads or usable_cores()


def usable_cores() -> int:
    """Return the number of cores that this process may use: those of its affinity, limited by `limit_cores`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _most_cores) if _most_cores else cores


@contextmanager
def using_cores(count: int) -> Iterator[None]:
    """Let compiled kernels and OpenCV use only `count` cores in the block, because other processes use the rest."""
    import cv2

    global _most_cores
    before = _most_cores, cv2.getNumThreads()
    try:
        _most_cores = count
        cv2.setNumThreads(_most_cores)
        yield
    finally:
        _most_cores = before[0]
        cv2.setNumThreads(before[1])


def limit_cores(count: int) -> None:
    """Use at most `count` cores from now on, because other processes need the rest; 0: all."""
    import cv2
    import torch

    global _most_cores
    _most_cores = count
    if count:
        torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))
        cv2.setNumThreads(usable_cores())
