"""Judge hops: estimate where a project's flow is wrong, once, and store the result beside it."""

from __future__ import annotations

import time
from typing import Any

import h5py

from omnitrack.config import fingerprint
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.hop_evidence import HopEvidence, Shares
from omnitrack.correspondence.hop_reliability import HopRegressor, hop_regressor
from omnitrack.errors import DamagedError
from omnitrack.memory import cache_bytes, looks_bytes
from omnitrack.progress import SILENT, Progress
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, hops_file, write_doubts
from omnitrack.settings import Settings
from omnitrack.stages.frame_jobs import Write, workers_beside, write_frames


def hops_stamp(flow_stamp: dict[str, Any]) -> dict[str, Any]:
    """Return the stamp of a project's judged hops: the flow and the regressor."""
    return make_stamp({"flow": fingerprint(flow_stamp), "hop_regressor": hop_regressor().identity}, {})


@writes("filter")
def judge_hops(project: Project, settings: Settings, progress: Progress = SILENT) -> float:
    """Estimate at every grid place the probability that each hop is wrong (`HopEvidence`, `HopRegressor`).

    An existing result is kept, and an interrupted run is resumed. The result does not depend on the number of threads
    or runs.

    Args:
        project: Has flow.
        settings: Uses ``memory.max_gb``.
        progress: Receives progress updates and messages.

    Returns:
        Seconds that it took.

    Raises:
        OmnitrackError: No flow, damaged flow or frames, or a full disk.
    """
    begin = time.perf_counter()
    product = hops_file(project)
    with FlowStore(project, cache_bytes=cache_bytes(settings.memory.max_gb), judged=False) as flows:
        stamp = hops_stamp(flows.flow_stamp)
        if damage := product.damage():
            product.set_aside(damage, progress)
        try:
            flows.open_hops(project)
        except DamagedError as error:
            product.set_aside(error.message, progress)
        if flows.hops_stamp == stamp:
            return 0.0
        parts = product.parts({**stamp, "pairs": len(flows.pairs())}, progress)
        work = _Judging(project, flows, looks_bytes(settings.memory.max_gb))
        workers = workers_beside(flows, project.num_frames, work.points, settings.memory.max_gb)
        write_frames(parts, project.num_frames, work.writer, "judge hops", progress, workers)
    seconds = time.perf_counter() - begin
    parts.merge(stamp, map(frame_name, range(project.num_frames)), seconds)
    return seconds


class _Judging:
    """Judges the hops from one source frame at a time; shared by the threads."""

    def __init__(self, project: Project, flows: FlowStore, frames_bytes: int) -> None:
        self._targets: dict[int, list[int]] = {source: [] for source in range(project.num_frames)}
        for source, target in flows.pairs():
            self._targets[source].append(target)
        frames = BlurredFrames(project.frame, project.size, frames_bytes)
        self._evidence = HopEvidence(flows, project.num_frames, frames)
        self.points = len(self._evidence.grid.pixels)
        self._regressor: HopRegressor = hop_regressor()
        self._shares: Shares = self._evidence.shares(self._targets.__getitem__)

    def writer(self, source: int) -> Write:
        """The job of one source frame, for `Parts.write`."""

        def write(file: h5py.File) -> None:
            evidence = self._evidence.of(source, self._targets[source], self._shares)
            shape = self._evidence.grid.shape
            write_doubts(file, source, {t: self._regressor.log_odds(e).reshape(shape) for t, e in evidence.items()})

        return write
