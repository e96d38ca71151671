"""Pairwise flow: match the selected pairs of frames and keep the result in ``products/flow.h5``."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import as_dict, fingerprint
from omnitrack.correspondence.compiled import trouble
from omnitrack.correspondence.descriptors.network import AXES, descriptor_network, searches
from omnitrack.correspondence.estimators import open_estimator, weights_identity
from omnitrack.correspondence.estimators.contract import Clip, PairEstimator
from omnitrack.correspondence.estimators.dis import SEARCH
from omnitrack.correspondence.features import NONE
from omnitrack.correspondence.pairs import Pair
from omnitrack.device import pick_device, usable_cores
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.memory import BYTES_PER_PIXEL, most_workers
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.lock import writes
from omnitrack.project.old_products import take_over_old_products
from omnitrack.project.parts import Parts
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore, flow_file, group_name
from omnitrack.settings import FEATURES, FlowSettings, MemorySettings, Settings
from omnitrack.stages.features import compute_features, wanted_features
from omnitrack.stages.flow_jobs import FlowJob, split_into_jobs
from omnitrack.stages.flow_pairs import keyframes_sentence, pairs_rule, selected_pairs

# Settings that do not affect flow: the content of a file counts, not its name, and memory limits change nothing.
UNSTAMPED = {
    "raft": ("weights", "batch_pairs"),
    "tracks": ("path",),
    "descriptors": ("weights",),
}


@dataclass(frozen=True)
class FlowReport:
    """What `compute_flow` did.

    Attributes:
        pairs: Number of requested ordered pairs.
        computed: Number of pairs computed by this call.
        skipped: Number of requested pairs that already existed.
        seconds: Wall time.
        bytes: Size of ``products/flow.h5``.
        bytes_per_pair: That size divided by the number of pairs in the file.
    """

    pairs: int
    computed: int
    skipped: int
    seconds: float
    bytes: int
    bytes_per_pair: float


def flow_settings(settings: Settings) -> FlowSettings:
    """Return the settings of flow, with ``auto`` resolved in ``flow.descriptors.network``."""
    network = descriptor_network(settings.flow, settings.features.extractor)
    return replace(settings.flow, descriptors=replace(settings.flow.descriptors, network=network))


def flow_stamp(
    project: Project, settings: FlowSettings, features_stamp: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the stamp of a project's flow: its frames, and the settings that change the result.

    Args:
        project: The project.
        settings: As returned by `flow_settings`.
        features_stamp: Stamp of the features that the settings ask for; used only if they correct the flow.
    """
    used = as_dict(settings)
    used["pairs"] = pairs_rule(project, settings.pairs)
    del used["workers"]
    estimators = {settings.estimator, settings.far_estimator}
    used["descriptors"]["network"] = descriptor_network(settings)
    networks = searches(used["descriptors"]["network"])
    if networks:
        estimators.add("descriptors")
    unused = [key for key, value in used.items() if isinstance(value, dict) and key not in estimators]
    if not settings.far_estimator:
        unused += ["far_estimator", "far_gap", "far_choice"]
    for key in unused:
        del used[key]
    for name in used.keys() & UNSTAMPED.keys():
        for key in UNSTAMPED[name]:
            del used[name][key]
    if "dis" in used:
        used["dis"]["search"] = SEARCH
    if "descriptors" in used:
        used["descriptors"]["axes"] = AXES
        if len(networks) > 1:
            used["descriptors"]["searches"] = list(networks)
    inputs = {"frames": project.meta.fingerprint, **weights_identity(settings)}
    if features_stamp is not None and settings.descriptors.network == FEATURES:
        inputs["features"] = fingerprint(features_stamp)
    return make_stamp(inputs, used)


@writes("flow")
def compute_flow(
    project: Project,
    settings: Settings,
    progress: Progress = SILENT,
    pairs: Iterable[Pair] | None = None,
    device: str = "auto",
) -> FlowReport:
    """Match the selected pairs of frames; existing flow is kept, and an interrupted run is resumed.

    The flow of a pair depends only on the frames and the estimator's settings: not on which other pairs are matched,
    in what order, by how many workers, or in how many runs.

    Args:
        project: The project.
        settings: Uses the table ``flow``; if features correct the flow, also ``features``, and computes them first.
        progress: Receives progress updates and messages.
        pairs: Further ordered pairs to match, in addition to those that the settings select.
        device: For estimators that use torch: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        OmnitrackError: Fewer than two frames, a bad setting, a failing estimator, or a full disk.
    """
    begin = time.perf_counter()
    if project.num_frames < 2:
        raise OmnitrackError(
            f"project {project.root} has a single frame, and flow needs two", "make a project of a longer video"
        )
    if max(map(len, project.shots)) < 2:
        raise OmnitrackError(
            f"each shot of project {project.root} has a single frame, and flow needs two",
            "make it again with other cuts: omnitrack init VIDEO PROJECT --cuts none",
        )
    for name in take_over_old_products(project):
        progress.note(f"imported the {name} of correspondences.h5, which an earlier version made")
    with flow_estimator(project, settings, progress, device) as estimator:
        wanted = sorted(set(selected_pairs(project, settings, progress, device)) | set(_checked(pairs or (), project)))
        flow = flow_settings(settings)
        compared = wanted_features(project, settings.features) if flow.descriptors.network == FEATURES else None
        stamp = flow_stamp(project, flow, compared)
        product = flow_file(project)
        parts = product.parts(_without_pairs(stamp), progress)
        have, finished_as = _take_up(project, product, parts, stamp, progress)
        missing = [pair for pair in wanted if pair not in have]
        if missing:
            if why := trouble():
                progress.warn(f"flow is slower than it could be: {why}")
            if said := keyframes_sentence(project, stamp["settings"]["pairs"], len(wanted)):
                progress.note(said)
            _compute_missing(project, settings, estimator, parts, missing, len(wanted), progress)
        if missing or finished_as != stamp:
            members = map(group_name, have | set(wanted))
            parts.merge(stamp, members, time.perf_counter() - begin, keep=bool(have))
        size = product.bytes()
        return FlowReport(
            pairs=len(wanted),
            computed=len(missing),
            skipped=len(wanted) - len(missing),
            seconds=time.perf_counter() - begin,
            bytes=size,
            bytes_per_pair=size / len(have | set(wanted)),
        )


@contextmanager
def flow_estimator(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> Iterator[PairEstimator]:
    """Yield the estimator that the settings ask for; the features that it compares are computed first.

    Args:
        project: The project.
        settings: See `compute_flow`.
        progress: Receives progress updates and messages of features and downloads.
        device: See `compute_flow`.

    Raises:
        OmnitrackError: See `compute_flow`.
    """
    flow, memory_gb = flow_settings(settings), settings.memory.max_gb
    if flow.descriptors.network != FEATURES or settings.features.extractor == NONE:
        yield open_estimator(flow, clip_of(project, device, progress, memory_gb))
        return
    compute_features(project, settings, progress, device)
    with FeatureStore(project, cache_bytes=0) as store:  # maps derived from them are cached instead
        yield open_estimator(flow, clip_of(project, device, progress, memory_gb, store.features))


def clip_of(
    project: Project,
    device: str = "auto",
    progress: Progress = SILENT,
    memory_gb: float = MemorySettings().max_gb,
    features: Callable[[int], NDArray[np.float32]] | None = None,
) -> Clip:
    """Return a project as the clip that estimators work on, with or without features of its frames."""
    where, original = str(pick_device(device)), project.meta.original_size
    return Clip(project.frame, project.num_frames, project.size, original, where, progress, memory_gb, features)


def _checked(pairs: Iterable[Pair], project: Project) -> list[Pair]:
    num_frames = project.num_frames
    checked = [(int(source), int(target)) for source, target in pairs]
    for source, target in checked:
        if source == target or not (0 <= source < num_frames and 0 <= target < num_frames):
            raise OmnitrackError(
                f"({source}, {target}) is not a pair of two frames", f"frames go from 0 to {num_frames - 1}"
            )
        if target not in project.shot(source):
            raise OmnitrackError(
                f"there is a cut between frames {source} and {target}", "nothing is tracked across: leave the pair out"
            )
    return checked


# --- stored flow ------------------------------------------------------------------------------------------------
def _without_pairs(stamp: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a stamp that determines the flow of each single pair."""
    return {**stamp, "settings": {key: value for key, value in stamp["settings"].items() if key != "pairs"}}


Have = tuple[set[Pair], dict[str, Any] | None]


def _take_up(project: Project, product: ProductFile, parts: Parts, stamp: dict[str, Any], progress: Progress) -> Have:
    """Return the pairs that need no recomputing and their stamp, after merging parts of an interrupted run."""
    have = _stored(project, product, stamp, progress)
    left = parts.done()
    if not left:
        return have
    progress.note(f"resuming an interrupted run: {len(left)} source frames are done")
    unfinished = {**stamp, "settings": {**stamp["settings"], "pairs": "unfinished"}}
    parts.merge(unfinished, map(group_name, have[0]), keep=bool(have[0]))
    return _stored(project, product, stamp, progress)


def _stored(project: Project, product: ProductFile, stamp: dict[str, Any], progress: Progress) -> Have:
    if not product.path.exists():
        return set(), None
    try:
        with FlowStore(project, any_frames=True, judged=False) as store:
            found = store.flow_stamp
            if _without_pairs(found) == _without_pairs(stamp):
                return set(store.pairs()), found
        progress.note("the flow that is there was made from other frames or settings: computing it again")
    except DamagedError as error:
        product.set_aside(error.message, progress)
    return set(), None


# --- the work ---------------------------------------------------------------------------------------------------
def _compute_missing(
    project: Project,
    settings: Settings,
    estimator: PairEstimator,
    parts: Parts,
    missing: Sequence[Pair],
    total: int,
    progress: Progress,
) -> None:
    stop = threading.Event()
    flow, pixels = settings.flow, math.prod(project.size)
    workers = most_workers(flow.workers or usable_cores(), settings.memory.max_gb, BYTES_PER_PIXEL * pixels)
    workers = workers if estimator.concurrent else 1
    name = flow.estimator + (f" and {flow.far_estimator}" if flow.far_estimator else "")
    with (
        progress.task("flow", total, done=total - len(missing), unit="pairs") as task,
        ThreadPoolExecutor(workers) as pool,  # threads: OpenCV, torch and zlib work outside Python's lock
    ):
        jobs = {}
        for pairs in split_into_jobs(missing, estimator.batch_pairs):
            job = FlowJob(pairs, estimator, name, project.size, flow.warm_start, stop)
            jobs[pool.submit(parts.write, pairs[0][0], job.write)] = job
        try:
            for done in as_completed(jobs):
                done.result()
                task.advance(len(jobs[done].pairs))
        except BaseException:  # error or Ctrl-C: finished source frames are kept, running jobs stop at their next batch
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
