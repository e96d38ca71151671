"""Pairwise flow: match the selected pairs of frames and keep the result in ``correspondences.h5``."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import cv2
import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import as_dict
from omnitrack.correspondence.estimators import FlowEstimator, get_estimator
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.pairs import Pair, select_pairs
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.flow_codec import decode, encode
from omnitrack.project.project import Project
from omnitrack.project.shards import Shards
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FILTERED_GROUP, FLOW_GROUP, FlowStore, group_name, write_flow
from omnitrack.settings import DisSettings, FlowSettings, Settings

THUMBNAIL_SIDE = 128  # longest side of the frames on which keyframes are picked


@dataclass(frozen=True)
class FlowReport:
    """What `compute_flow` did.

    Attributes:
        pairs: Ordered pairs that were asked for.
        computed: Of these, computed now.
        skipped: Of these, there already.
        seconds: Wall time.
        bytes: Size of ``correspondences.h5``.
        bytes_per_pair: That size over all pairs in it.
    """

    pairs: int
    computed: int
    skipped: int
    seconds: float
    bytes: int
    bytes_per_pair: float


def flow_stamp(project: Project, settings: FlowSettings) -> dict[str, Any]:
    """What the flow of a project is made from: its frames, and the settings that change the result."""
    used = as_dict(settings)
    del used["workers"]
    tables = [key for key, value in used.items() if isinstance(value, dict) and key != settings.estimator]
    for key in tables:  # the tables of other estimators
        del used[key]
    return make_stamp({"frames": project.meta.fingerprint}, used)


def compute_flow(
    project: Project, settings: Settings, progress: Progress = SILENT, pairs: Iterable[Pair] | None = None
) -> FlowReport:
    """Match the selected pairs of frames; what is there already is kept, and an interrupted run is taken up again.

    The flow of a pair depends on the frames and the estimator's settings alone: not on which other pairs are matched,
    in what order, by how many workers, or in how many runs.

    Args:
        project: The project.
        settings: Uses the table ``flow``.
        progress: Hears of it.
        pairs: Further ordered pairs to match, besides those that the settings select.

    Raises:
        OmnitrackError: Fewer than two frames, a bad setting, a failing estimator, or a full disk.
    """
    begin = time.perf_counter()
    if project.num_frames < 2:
        raise OmnitrackError(
            f"project {project.root} has a single frame, and flow needs two", "make a project of a longer video"
        )
    estimator = get_estimator(settings.flow.estimator, settings.flow)
    selected = select_pairs(settings.flow.pairs, project.num_frames, lambda: _typical_motion(project))
    wanted = sorted(set(selected) | set(_checked(pairs or (), project.num_frames)))
    stamp = flow_stamp(project, settings.flow)
    shards = Shards(project, "flow", _without_pairs(stamp))
    have, finished_as = _take_up(project, shards, stamp, progress)
    missing = [pair for pair in wanted if pair not in have]
    if missing:
        _compute_missing(project, settings.flow, estimator, shards, missing, len(wanted), progress)
    if missing or finished_as != stamp:
        _merge(shards, stamp, keep=bool(have))
    size = project.correspondences_path.stat().st_size
    return FlowReport(
        pairs=len(wanted),
        computed=len(missing),
        skipped=len(wanted) - len(missing),
        seconds=time.perf_counter() - begin,
        bytes=size,
        bytes_per_pair=size / len(have | set(wanted)),
    )


def _checked(pairs: Iterable[Pair], num_frames: int) -> list[Pair]:
    checked = [(int(source), int(target)) for source, target in pairs]
    for source, target in checked:
        if source == target or not (0 <= source < num_frames and 0 <= target < num_frames):
            raise OmnitrackError(
                f"({source}, {target}) is not a pair of two frames", f"frames go from 0 to {num_frames - 1}"
            )
    return checked


def _typical_motion(project: Project) -> NDArray[np.float64]:
    """(T - 1,) median displacement from each frame to the next, in pixels at 256 x 256."""
    scale = THUMBNAIL_SIDE / max(project.size)
    size = tuple(max(1, round(side * scale)) for side in project.size)
    search = DisEstimator(DisSettings())
    motion, last = [], None
    for index in range(project.num_frames):
        frame = np.asarray(cv2.resize(project.frame(index), size, interpolation=cv2.INTER_AREA), np.uint8)
        if last is not None:
            flow = search.estimate(last, frame) * (np.float32(256) / np.array(size, np.float32))
            motion.append(float(np.median(np.linalg.norm(flow, axis=-1))))
        last = frame
    return np.array(motion)


# --- what is there already --------------------------------------------------------------------------------------
def _without_pairs(stamp: dict[str, Any]) -> dict[str, Any]:
    """The part of a stamp that decides the flow of each single pair."""
    return {**stamp, "settings": {key: value for key, value in stamp["settings"].items() if key != "pairs"}}


Have = tuple[set[Pair], dict[str, Any] | None]


def _take_up(project: Project, shards: Shards, stamp: dict[str, Any], progress: Progress) -> Have:
    """The pairs that need not be computed again and their stamp, after merging what an interrupted run left."""
    have = _stored(project, stamp, progress)
    left = shards.done()
    if not left:
        return have
    progress.note(f"taking up an interrupted run: {len(left)} source frames are done")
    _merge(shards, {**stamp, "settings": {**stamp["settings"], "pairs": "unfinished"}}, keep=bool(have[0]))
    return _stored(project, stamp, progress)


def _stored(project: Project, stamp: dict[str, Any], progress: Progress) -> Have:
    if not project.correspondences_path.exists():
        return set(), None
    try:
        with FlowStore(project, any_frames=True) as store:
            found = store.flow_stamp
            if found is not None and _without_pairs(found) == _without_pairs(stamp):
                return set(store.pairs()), found
        progress.note("the flow that is there was made from other frames or settings: computing it again")
    except OmnitrackError as error:
        progress.warn(f"{error.message}: computing it again")
    return set(), None


def _merge(shards: Shards, stamp: dict[str, Any], keep: bool) -> None:
    attrs = {"flow_stamp": json.dumps(stamp)}
    shards.merge(FLOW_GROUP, attrs, keep=(FLOW_GROUP, FILTERED_GROUP) if keep else ())


# --- the work ---------------------------------------------------------------------------------------------------
def _compute_missing(
    project: Project,
    settings: FlowSettings,
    estimator: FlowEstimator,
    shards: Shards,
    missing: Sequence[Pair],
    total: int,
    progress: Progress,
) -> None:
    targets: dict[int, list[int]] = defaultdict(list)
    for source, target in missing:
        targets[source].append(target)
    stop = threading.Event()
    workers = settings.workers or os.cpu_count() or 1
    with (
        progress.task("flow", total, done=total - len(missing), unit="pairs") as task,
        ThreadPoolExecutor(workers) as pool,  # threads: OpenCV and zlib work outside Python's lock
    ):
        jobs = {}
        for source in targets:
            job = _SourceJob(project, settings, estimator, source, targets[source], stop)
            jobs[pool.submit(shards.write, source, job.write)] = job
        try:
            for done in as_completed(jobs):
                done.result()
                task.advance(len(jobs[done].targets))
        except BaseException:  # an error, or Ctrl-C: finished source frames stay, running ones stop at their next pair
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


class _Stopped(Exception):
    """The run was given up while a job was at work."""


@dataclass(frozen=True)
class _SourceJob:
    """The flow of one source frame to some targets.

    With warm start, the search for a pair begins at the flow of the same source at the largest power of two below the
    gap: gap 12 begins at that of gap 8, which begins at that of gap 4. These are computed where they are not among
    the targets, so that where a search begins does not depend on what is asked for.
    """

    project: Project
    settings: FlowSettings
    estimator: FlowEstimator
    source: int
    targets: Sequence[int]
    stop: threading.Event

    def write(self, shard: h5py.File) -> None:
        """Compute everything into the shard, pair by pair."""
        frame = self.project.frame(self.source)
        for direction in (1, -1):
            gaps = {direction * (target - self.source) for target in self.targets}
            gaps = {gap for gap in gaps if gap > 0}
            start: NDArray[np.float32] | None = None
            for gap in sorted(gaps | self._steps_on_the_way(max(gaps, default=0))):
                encoded = encode(self._estimate(frame, self.source + direction * gap, start))
                if gap in gaps:
                    write_flow(shard.create_group(group_name((self.source, self.source + direction * gap))), encoded)
                if self.settings.warm_start and gap & (gap - 1) == 0:
                    start = decode(encoded)

    def _steps_on_the_way(self, furthest: int) -> set[int]:
        return {2**i for i in range(furthest.bit_length()) if 2**i < furthest} if self.settings.warm_start else set()

    def _estimate(
        self, frame: NDArray[np.uint8], target: int, start: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if self.stop.is_set():
            raise _Stopped
        what = f"flow estimator {self.settings.estimator!r} on frames {self.source} -> {target}"
        hint = "finished frames are kept; try another estimator: --estimator dis"
        target_frame = self.project.frame(target)
        try:
            flow = np.asarray(self.estimator.estimate(frame, target_frame, start), np.float32)
        except (OmnitrackError, MemoryError):
            raise
        except Exception as error:  # a plug-in can fail in any way; the pair and its name are what the user needs
            raise OmnitrackError(f"{what} failed: {error}", hint) from error
        expected = (*frame.shape[:2], 2)
        if flow.shape != expected:
            raise OmnitrackError(f"{what} returned an array of shape {flow.shape}, not {expected}", hint)
        if not np.isfinite(flow).all():
            count = int((~np.isfinite(flow).all(-1)).sum())
            raise OmnitrackError(f"{what} returned flow that is not finite at {count} pixels", hint)
        return flow
