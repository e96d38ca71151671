"""Where to compute, and on how much of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from omnitrack.errors import OmnitrackError


def pick_device(name: str) -> torch.device:
    """The device of that name: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: No such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):  # torch knows more, on which not all that is used here works
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
    """Let torch use `count` CPU threads in the block; 0 changes nothing."""
    before = torch.get_num_threads()
    try:
        if count:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)
