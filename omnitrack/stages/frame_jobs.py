"""One job per source frame, run in parallel; a job whose part is written is not repeated."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import h5py

from omnitrack.correspondence.blurred_frames import blurred_bytes
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.device import usable_cores
from omnitrack.memory import cache_bytes, looks_bytes, most_workers
from omnitrack.progress import Progress
from omnitrack.project.parts import Parts
from omnitrack.project.store import FlowStore

Write = Callable[[h5py.File], None]


# Memory of a thread, by tracemalloc: chaining takes 2.3 kB per point, with 3,072 points in 101 frames, and 0.9 kB more
# to store them; judging hops takes 3.6 kB per point. A flow takes 16 bytes per pixel to unpack, 8 more as float pixels.
# Finding points again takes 1.7 kB more per point, which is kept in 44 frames, and 12 kB per place of the grid in 32
# frames, 60 bytes more in each further one: there are at most 101.
BYTES_PER_POINT, BYTES_PER_PIXEL = 3600.0, 32.0
FOUND_BYTES_PER_POINT, BYTES_PER_PLACE = 1700.0, 16_000.0


def workers_beside(
    flows: FlowStore,
    num_frames: int,
    points: int,
    max_gb: float,
    features_bytes: int = 0,
    find_again: bool = False,
) -> int:
    """Number of threads, each with one frame's points, that fit in memory beside the cached flow and frames.

    Args:
        flows: Read through a cache of `cache_bytes`.
        num_frames: T.
        points: Number of points of each frame.
        max_gb: ``memory.max_gb``.
        features_bytes: Size of the features of all frames; 0 if they are not cached.
        find_again: Whether the threads find lost points again.
    """
    looks = [num_frames * blurred_bytes(flows.size), features_bytes]
    kept = min(cache_bytes(max_gb), flows.decoded_bytes) + sum(min(looks_bytes(max_gb), size) for size in looks)
    each = BYTES_PER_POINT * points + BYTES_PER_PIXEL * flows.size[0] * flows.size[1]
    if find_again:
        each += FOUND_BYTES_PER_POINT * points + BYTES_PER_PLACE * len(CoarseGrid.of(flows.size).pixels)
    return most_workers(usable_cores(), max_gb, each, kept)


def write_frames(
    parts: Parts, num_frames: int, writer: Callable[[int], Write], name: str, progress: Progress, workers: int
) -> None:
    """Write the parts of all source frames except those that are done.

    Args:
        parts: Parts of the product; finished ones are kept, also if this call is interrupted.
        num_frames: T.
        writer: Returns the job of a frame, for `Parts.write`; may be called from several threads.
        name: Name of the task.
        progress: Receives progress updates.
        workers: Number of threads.
    """
    done = set(parts.done())
    left = [source for source in range(num_frames) if source not in done]
    with (
        progress.task(name, num_frames, done=len(done), unit="frames") as task,
        ThreadPoolExecutor(workers) as pool,
    ):
        jobs = [pool.submit(lambda source: parts.write(source, writer(source)), source) for source in left]
        try:
            for job in as_completed(jobs):
                job.result()
                task.advance()
        except BaseException:  # finished source frames are kept
            pool.shutdown(cancel_futures=True)
            raise
