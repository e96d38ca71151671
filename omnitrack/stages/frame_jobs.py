"""One job per source frame, done by several processes; a job whose part is written is not repeated."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import h5py

from omnitrack.closing import Closing
from omnitrack.correspondence.blurred_frames import blurred_bytes
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.device import usable_cores, using_cores
from omnitrack.memory import BASE_BYTES, GB, cache_bytes, free_bytes, looks_bytes, most_workers
from omnitrack.progress import Progress
from omnitrack.project.parts import Parts
from omnitrack.project.store import FlowStore
from omnitrack.workers.helpers import Do, do_all

# Memory of a job, by tracemalloc: chaining takes 2.3 kB per point, with 3,072 points in 101 frames, and 0.9 kB more
# to store them; judging hops takes 3.6 kB per point. A flow takes 16 bytes per pixel to unpack, 8 more as float pixels.
# Finding points again takes 1.7 kB more per point, which is kept in 44 frames, and 12 kB per place of the grid in 32
# frames, 60 bytes more in each further one: there are at most 101.
BYTES_PER_POINT, BYTES_PER_PIXEL = 3600.0, 32.0
FOUND_BYTES_PER_POINT, BYTES_PER_PLACE = 1700.0, 16_000.0
PROCESS_BYTES = 0.16e9  # Python, OpenCV, HDF5 and the compiled kernels
SPARE = 1.1  # jobs read flow in the same order: of a cache that is 1 % too small, nearly nothing is found again


@dataclass(frozen=True)
class Budget:
    """What the processes that do the jobs of a stage may use.

    Attributes:
        processes: Number of processes, this one included.
        flow_bytes: Memory of each for cached flow.
        looks_bytes: Memory of each for cached blurred frames, and the same amount for cached features.
        enough_gb: ``memory.max_gb`` with which one process can cache all that a job reads; None if it can.
    """

    processes: int
    flow_bytes: int
    looks_bytes: int
    enough_gb: float | None = None


def budget_of(
    flows: FlowStore,
    num_frames: int,
    reach: int,
    points: int,
    max_gb: float,
    features_bytes: int = 0,
    find_again: bool = False,
) -> Budget:
    """Divide cores and memory: as many processes as can each cache all that a job reads, at least one.

    If not even one can, reading flow again takes most of the time anyway, and the caches are shared by all.

    Args:
        flows: The flow.
        num_frames: T.
        reach: Number of frames, to each side, whose flow a job reads.
        points: Number of points of each job.
        max_gb: ``memory.max_gb``.
        features_bytes: Size of the features of all frames; 0 if they are not read.
        find_again: Whether jobs find lost points again.
    """
    near = min(1.0, SPARE * (2 * reach + 1) / num_frames)
    flow, frames, features = (
        near * size for size in (flows.decoded_bytes, num_frames * blurred_bytes(flows.size), features_bytes)
    )
    each = PROCESS_BYTES + BYTES_PER_POINT * points + BYTES_PER_PIXEL * flows.size[0] * flows.size[1]
    if find_again:
        each += FOUND_BYTES_PER_POINT * points + BYTES_PER_PLACE * len(CoarseGrid.of(flows.size).pixels)
    whole = each + flow + frames + features
    if processes := min(usable_cores(), int(free_bytes(max_gb) // whole)):
        return Budget(processes, int(flow), int(max(frames, features)))
    kept = cache_bytes(max_gb) + sum(min(looks_bytes(max_gb), size) for size in (frames, features))
    processes = most_workers(usable_cores(), max_gb, each, kept)
    enough_gb = math.ceil(10 * (whole + BASE_BYTES) / GB) / 10
    return Budget(processes, cache_bytes(max_gb) // processes, looks_bytes(max_gb) // processes, enough_gb)


class FrameWork(Closing):
    """What the jobs of a process have in common: open files and caches."""

    @abstractmethod
    def write(self, source: int, file: h5py.File) -> None:
        """Do the job of a source frame, and write its result to a file, for `Parts.write`."""


def write_frames(
    parts: Parts,
    num_frames: int,
    work: FrameWork,
    begin: Callable[[], FrameWork],
    name: str,
    progress: Progress,
    processes: int,
) -> None:
    """Write the parts of all source frames except those that are done.

    Args:
        parts: Parts of the product; finished ones are kept, also if this call is interrupted.
        num_frames: T.
        work: Does the jobs of this process.
        begin: Opens the same work in another process, which unpickles it.
        name: Name of the task.
        progress: Receives progress updates.
        processes: Largest number of processes, this one included.
    """
    finished = set(parts.done())
    left = [source for source in range(num_frames) if source not in finished]
    cores = max(1, usable_cores() // processes)
    with progress.task(name, num_frames, done=len(finished), unit="frames") as task, using_cores(cores):

        def do(source: int) -> None:
            parts.write(source, partial(work.write, source))

        do_all(left, do, partial(_begun, parts, begin, cores), processes - 1, lambda _: task.advance())


@contextmanager
def _begun(parts: Parts, begin: Callable[[], FrameWork], cores: int) -> Iterator[Do]:
    """Open work in a helper."""
    with using_cores(cores), begin() as work:
        yield lambda source: parts.write(source, partial(work.write, source))
