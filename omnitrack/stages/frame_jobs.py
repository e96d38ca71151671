"""One job a source frame, in parallel, each finished for good when it is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import h5py

from omnitrack.correspondence.appearance import prepared_bytes
from omnitrack.device import usable_cores
from omnitrack.memory import cache_bytes, looks_bytes, most_workers
from omnitrack.progress import Progress
from omnitrack.project.parts import Parts
from omnitrack.project.store import FlowStore

Write = Callable[[h5py.File], None]


# Of a thread that chains points, by tracemalloc: 2.3 kB for each of 3,072 points in 101 frames and 0.9 as they are
# stored; of one that judges hops 3.6 kB a point. A flow is unpacked in 16 bytes a pixel, read as pixels in 8 more.
BYTES_PER_POINT, BYTES_PER_PIXEL = 3600.0, 32.0


def workers_beside(flows: FlowStore, num_frames: int, points: int, max_gb: float, features_bytes: int = 0) -> int:
    """How many threads, each with a frame's points, there is memory for beside the flow and the frames that are kept.

    Args:
        flows: Read through a cache of `cache_bytes`.
        num_frames: T.
        points: Of each frame.
        max_gb: ``memory.max_gb``.
        features_bytes: Of all frames, where features are kept too.
    """
    looks = [min(looks_bytes(max_gb), size) for size in (num_frames * prepared_bytes(flows.size), features_bytes)]
    kept = min(cache_bytes(max_gb), flows.decoded_bytes) + sum(looks)
    each = BYTES_PER_POINT * points + BYTES_PER_PIXEL * flows.size[0] * flows.size[1]
    return most_workers(usable_cores(), max_gb, each, kept)


def write_frames(
    parts: Parts, num_frames: int, writer: Callable[[int], Write], name: str, progress: Progress, workers: int
) -> None:
    """Write the parts of all source frames but those that are done.

    Args:
        parts: Of the product; those that are done are kept, and stay where this is interrupted.
        num_frames: T.
        writer: Gives the job of a frame, for `Parts.write`; may be called from several threads.
        name: Of the task.
        progress: Hears of it.
        workers: Threads.
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
        except BaseException:  # finished source frames stay
            pool.shutdown(cancel_futures=True)
            raise
