"""One job a source frame, in parallel, each finished for good when it is written."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed

import h5py

from omnitrack.device import usable_cores
from omnitrack.progress import Progress
from omnitrack.project.parts import Parts

Write = Callable[[h5py.File], None]


def write_frames(parts: Parts, num_frames: int, writer: Callable[[int], Write], name: str, progress: Progress) -> None:
    """Write the parts of all source frames but those that are done, on every core.

    Args:
        parts: Of the product; those that are done are kept, and stay where this is interrupted.
        num_frames: T.
        writer: Gives the job of a frame, for `Parts.write`; may be called from several threads.
        name: Of the task.
        progress: Hears of it.
    """
    done = set(parts.done())
    left = [source for source in range(num_frames) if source not in done]
    with (
        progress.task(name, num_frames, done=len(done), unit="frames") as task,
        ThreadPoolExecutor(usable_cores()) as pool,
    ):
        jobs = [pool.submit(lambda source: parts.write(source, writer(source)), source) for source in left]
        try:
            for job in as_completed(jobs):
                job.result()
                task.advance()
        except BaseException:  # finished source frames stay
            pool.shutdown(cancel_futures=True)
            raise
