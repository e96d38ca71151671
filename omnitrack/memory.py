"""The memory limit of a clip in progress, `memory.max_gb`, and how the stages divide it.

The limit affects no result except the working size of large frames (`largest_pixels`): with less memory, stages have
smaller caches or smaller batches, and are slower.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import re
from contextlib import suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError

GB = 1e9
BASE_BYTES = 0.45 * GB  # Python, torch, OpenCV and HDF5: 0.3 after loading, and memory that they reserve
CACHED_SHARE = 0.5  # of the rest: decoded flow, descriptors or encoded frames
LOOKS_SHARE = 0.15  # of the rest, each: blurred frames and features, with which points are compared
BATCH_SHARE = 0.5  # of the rest: the correlation volumes of RAFT
BYTES_PER_PIXEL = 330.0  # of a flow thread: 285 for dense inverse search, and results that wait to be written
CGROUP = Path("/sys/fs/cgroup/memory.max")
_UNITS = {"": 1.0, "g": 1.0, "gb": 1.0, "gib": 2**30 / GB, "m": 1e-3, "mb": 1e-3, "mib": 2**20 / GB}


def free_bytes(max_gb: float) -> float:
    """Return the memory left for arrays after the program itself is loaded."""
    return max(0.0, max_gb * GB - BASE_BYTES)


def cache_bytes(max_gb: float) -> int:
    """Return the memory for data that are cached because they may be needed again."""
    return int(CACHED_SHARE * free_bytes(max_gb))


def looks_bytes(max_gb: float) -> int:
    """Return the memory for cached blurred frames, and the same amount for cached features."""
    return int(LOOKS_SHARE * free_bytes(max_gb))


def batch_bytes(max_gb: float) -> int:
    """Return the memory for one batch of RAFT."""
    return int(BATCH_SHARE * free_bytes(max_gb))


def most_workers(cores: int, max_gb: float, bytes_each: float, kept_bytes: float | None = None) -> int:
    """Return the number of a stage's threads that fit in memory beside its caches, at least one.

    Args:
        cores: Number of cores.
        max_gb: Memory limit of the clip in GB.
        bytes_each: Memory of a running thread.
        kept_bytes: Memory that the stage's caches will take; None: all of `cache_bytes`.
    """
    left = free_bytes(max_gb) - (cache_bytes(max_gb) if kept_bytes is None else kept_bytes)
    return int(max(1, min(cores, left // max(1.0, bytes_each))))


def largest_pixels(max_gb: float) -> int:
    """Return the largest number of pixels of a frame for which one thread of any stage fits in memory."""
    return int((1 - CACHED_SHARE) * free_bytes(max_gb) / BYTES_PER_PIXEL)


def most_at_once(max_gb: float) -> int:
    """Return the number of clips in progress that fit in this machine's memory, at least one."""
    return max(1, int(machine_bytes() // (max_gb * GB)))


def machine_bytes() -> float:
    """Return the memory of this machine, or the limit of its container or Slurm job; infinite if unknown."""
    found = math.inf
    with suppress(OSError, ValueError, AttributeError):  # Windows has no sysconf
        found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(OSError, ValueError):  # "max" if there is no limit
        found = min(found, float(CGROUP.read_text(encoding="ascii")))
    return found


def give_back() -> None:
    """Return memory that nothing uses any more to the system.

    glibc keeps the freed memory of each thread for that thread, so a finished stage would leave hundreds of megabytes
    that the next stage's threads cannot use.
    """
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def parse_gb(text: str) -> float:
    """Parse an amount of memory into gigabytes: ``8GB``, ``8``, ``512MB``, ``1.5 GiB``.

    Raises:
        OmnitrackError: Not a positive amount of memory.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in _UNITS or not float(match[1]):
        raise OmnitrackError(f"{text!r} is not an amount of memory", "for example --max-memory 8GB")
    return float(match[1]) * _UNITS[match[2]]
