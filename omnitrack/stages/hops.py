"""Judge hops: estimate where a project's flow is wrong, once, and store the result beside it."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import h5py

from omnitrack.config import fingerprint
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.hop_evidence import HopEvidence, Shares
from omnitrack.correspondence.hop_reliability import HopRegressor, hop_regressor
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.errors import DamagedError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, hops_file, write_doubts
from omnitrack.settings import Settings
from omnitrack.stages.frame_jobs import Budget, FrameWork, budget_of, write_frames


def hops_stamp(flow_stamp: dict[str, Any]) -> dict[str, Any]:
    """Return the stamp of a project's judged hops: the flow and the regressor."""
    return make_stamp({"flow": fingerprint(flow_stamp), "hop_regressor": hop_regressor().identity}, {})


@writes("filter")
def judge_hops(project: Project, settings: Settings, progress: Progress = SILENT) -> float:
    """Estimate at every grid place the probability that each hop is wrong (`HopEvidence`, `HopRegressor`).

    An existing result is kept, and an interrupted run is resumed. The result does not depend on the number of processes
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
    started = time.perf_counter()
    product = hops_file(project)
    with FlowStore(project, judged=False) as flows:
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
        reach, points = max((abs(s - t) for s, t in flows.pairs()), default=0), len(CoarseGrid.of(flows.size).pixels)
        budget = budget_of(flows, project.num_frames, reach, points, settings.memory.max_gb)
    with _Judging(project, budget) as work:
        begin = partial(_Judging, project, budget, work.shares)
        write_frames(parts, project.num_frames, work, begin, "judge hops", progress, budget.processes)
    seconds = time.perf_counter() - started
    parts.merge(stamp, map(frame_name, range(project.num_frames)), seconds)
    return seconds


class _Judging(FrameWork):
    """Judges the hops from one source frame at a time.

    Args:
        project: Has flow.
        budget: What each process may cache.
        shares: The clip's `Shares`; None: estimated.
    """

    def __init__(self, project: Project, budget: Budget, shares: Shares | None = None) -> None:
        self._flows = FlowStore(project, cache_bytes=budget.flow_bytes, judged=False)
        self._targets: dict[int, list[int]] = {source: [] for source in range(project.num_frames)}
        for source, target in self._flows.pairs():
            self._targets[source].append(target)
        frames = BlurredFrames(project.frame, project.size, budget.looks_bytes)
        self._evidence = HopEvidence(self._flows, project.num_frames, frames)
        self._regressor: HopRegressor = hop_regressor()
        try:
            self.shares = self._evidence.shares(self._targets.__getitem__) if shares is None else shares
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the flow."""
        self._flows.close()

    def write(self, source: int, file: h5py.File) -> None:
        """Judge the hops from a source frame."""
        self._flows.begin_round()
        evidence = self._evidence.of(source, self._targets[source], self.shares)
        shape = self._evidence.grid.shape
        write_doubts(file, source, {t: self._regressor.log_odds(e).reshape(shape) for t, e in evidence.items()})
