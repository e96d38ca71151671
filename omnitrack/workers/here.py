"""Jobs one after another in this process, each with the usual progress of its stages."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from omnitrack.diagnosis import diagnose
from omnitrack.progress import Progress
from omnitrack.workers.contract import Job, Outcome


class Here:
    """An executor without workers; see `omnitrack.workers.contract.Executor`.

    Args:
        device: As for `omnitrack.device.pick_device`.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = device

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        """Run jobs, and yield their outcomes as they end."""
        for number, job in enumerate(jobs):
            if total is not None and total > 1:
                progress.note(f"clip {number + 1} of {total}: {job.name}")
            begin = time.perf_counter()
            try:
                result = job.function(*job.arguments, device=self._device, progress=progress)
            except Exception as error:  # of any kind: the other clips must not be affected
                failure = diagnose(error)
                if total is not None and number + 1 < total:
                    progress.warn(f"{job.name} failed, the others continue: {failure.message}")
                yield Outcome(number, job.name, error=failure, seconds=time.perf_counter() - begin)
            else:
                yield Outcome(number, job.name, result, seconds=time.perf_counter() - begin)
