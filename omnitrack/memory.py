"""One bound on the memory of a clip at work, `memory.max_gb`, and how the stages divide it.

Nothing here changes a result but the working size of large frames (`largest_pixels`): the stages keep less in
their caches, or take less at once, and are slower for it.
"""

from __future__ import annotations

import math
import os
import re
from contextlib import suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError

GB = 1e9
BASE_BYTES = 0.45 * GB  # Python, torch, OpenCV and HDF5 as they are loaded, 0.3, and what they set aside
CACHED_SHARE = 0.5  # of what is left: decoded flow, descriptors or encoded frames
LOOKS_SHARE = 0.15  # of what is left, each: blurred frames, and features, where points are compared by them
BATCH_SHARE = 0.5  # of what is left: the correlation volumes of RAFT
BYTES_PER_PIXEL = 330.0  # of a thread of flow: dense inverse search takes 285, and its results wait to be written
CGROUP = Path("/sys/fs/cgroup/memory.max")
_UNITS = {"": 1.0, "g": 1.0, "gb": 1.0, "gib": 2**30 / GB, "m": 1e-3, "mb": 1e-3, "mib": 2**20 / GB}


def free_bytes(max_gb: float) -> float:
    """What is left for arrays when the program itself is loaded."""
    return max(0.0, max_gb * GB - BASE_BYTES)


def cache_bytes(max_gb: float) -> int:
    """For what is kept because it may be asked for again."""
    return int(CACHED_SHARE * free_bytes(max_gb))


def looks_bytes(max_gb: float) -> int:
    """For blurred frames, and as much for features, that are kept because they may be asked for again."""
    return int(LOOKS_SHARE * free_bytes(max_gb))


def batch_bytes(max_gb: float) -> int:
    """For what RAFT computes at once."""
    return int(BATCH_SHARE * free_bytes(max_gb))


def most_workers(cores: int, max_gb: float, bytes_each: float, kept_bytes: float | None = None) -> int:
    """How many of a stage's threads there is memory for, beside what it keeps; one at least.

    Args:
        cores: That there are.
        max_gb: What the clip may take.
        bytes_each: Of a thread at work.
        kept_bytes: That the stage's caches will take; None: their share of decoded flow or the like in full.
    """
    left = free_bytes(max_gb) - (cache_bytes(max_gb) if kept_bytes is None else kept_bytes)
    return int(max(1, min(cores, left // max(1.0, bytes_each))))


def largest_pixels(max_gb: float) -> int:
    """Of a frame that one thread of every stage has memory for."""
    return int((1 - CACHED_SHARE) * free_bytes(max_gb) / BYTES_PER_PIXEL)


def most_at_once(max_gb: float) -> int:
    """How many clips at work this machine has memory for; one at least."""
    return max(1, int(machine_bytes() // (max_gb * GB)))


def machine_bytes() -> float:
    """What this machine has, or a container or a job of Slurm is allowed; endless where nobody can tell."""
    found = math.inf
    with suppress(OSError, ValueError, AttributeError):  # sysconf is not on Windows
        found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # "max" where there is no limit
        found = min(found, float(CGROUP.read_text(encoding="ascii")))
    return found


def parse_gb(text: str) -> float:
    """Gigabytes that a person means: ``8GB``, ``8``, ``512MB``, ``1.5 GiB``.

    Raises:
        OmnitrackError: It means none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS or not float(match[1]):
        raise OmnitrackError(f"{text!r} is not an amount of memory", "for example --max-memory 8GB")
    return float(match[1]) * _UNITS[match[2]]
