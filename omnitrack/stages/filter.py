"""Filter and chain: turn pairwise flow into reliable correspondences over any distance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import as_dict, fingerprint
from omnitrack.correspondence.appearance import FramePatches, Patches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chaining import ChainState, Rows, chain, chain_confidence, outward, start_state
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.flows import FlowsWithin
from omnitrack.correspondence.grid_correction import GridCorrection
from omnitrack.correspondence.raster import Array, grid_shape, pixel_grid
from omnitrack.correspondence.recovery import REACH_FRAMES, Recovery
from omnitrack.correspondence.revisits import Revisits
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.filtered import (
    STATISTICS,
    SourceCorrespondences,
    filtered_file,
    read_statistics,
    write_source,
)
from omnitrack.project.groups import frame_name
from omnitrack.project.lock import writes
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore
from omnitrack.settings import FilterSettings, Settings
from omnitrack.stages.features import compute_features, wanted_features
from omnitrack.stages.frame_jobs import Budget, FrameWork, budget_of, write_frames
from omnitrack.stages.hops import hops_stamp, judge_hops
from omnitrack.stages.matching import find_matches

LONG_CLIP_FRAMES = 100
LONG_CLIP_WINDOW = 50
TARGET_GROWTH = 1.2  # ratio of the distances of stored targets: T log T pairs
APPEARANCE_FROM_GAP = 3  # nearer frames are similar, and flow between them is better than a patch comparison
MOST_GRIDS = 48  # of a shot's source frames in which points are found again: 20 ms per frame that they reach
HALF_TEXTURE = 4.0  # texture of a patch, in levels of 0 to 255, at which half of its flow is its own; noise has 2


@dataclass(frozen=True)
class FilterReport:
    """What `filter_flow` did.

    Attributes:
        sources: Number of source frames.
        pairs: Number of ordered pairs of frames with correspondences.
        correspondences: Number of accepted correspondences.
        valid_share: Share of all grid points and pairs that is accepted.
        occluded_share: Share of the accepted correspondences that is occluded in the target.
        mean_confidence: Mean confidence of the accepted correspondences.
        appearance_rejected_share: Share of the consistent correspondences that is rejected by appearance.
        seconds: Wall time.
        bytes: Size of ``products/filtered.h5``.
    """

    sources: int
    pairs: int
    correspondences: int
    valid_share: float
    occluded_share: float
    mean_confidence: float
    appearance_rejected_share: float
    seconds: float
    bytes: int


def filter_stamp(
    flow_stamp: dict[str, Any], settings: FilterSettings, features_stamp: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the stamp of filtered correspondences: the flow, the features if any, and the settings of the filter."""
    inputs, used = dict(hops_stamp(flow_stamp)["inputs"]), as_dict(settings)
    if features_stamp is None:
        del used["feature_threshold"]
    else:
        inputs["features"] = fingerprint(features_stamp)
    return make_stamp(inputs, used)


@writes("filter")
def filter_flow(
    project: Project, settings: Settings, progress: Progress = SILENT, device: str = "auto"
) -> FilterReport:
    """Make all products of the stage: judged hops, features, filtered correspondences and long-range matches.

    Features and matches are made only if the settings ask for them (`compute_features`, `find_matches`).

    Args:
        project: Has flow.
        settings: Uses the tables ``features``, ``filter`` and ``matching``.
        progress: Receives progress updates and messages.
        device: For feature extractors.

    Raises:
        OmnitrackError: No flow, damaged flow, gaps below 1, features that cannot be computed, or a full disk.
    """
    begin = time.perf_counter()
    _check_gaps(settings.filter)
    judge_hops(project, settings, progress)
    compute_features(project, settings, progress, device)
    chain_from_everywhere(project, settings, progress)
    find_matches(project, settings, progress, device)
    return _report(project, time.perf_counter() - begin)


def _check_gaps(settings: FilterSettings) -> None:
    if min(settings.gaps, default=0) < 1:
        raise OmnitrackError(
            f"filter.gaps is {list(settings.gaps)}: a hop goes over at least one frame",
            "set gaps of at least 1: --set filter.gaps=[1,2,4]",
        )


@writes("filter")
def chain_from_everywhere(project: Project, settings: Settings, progress: Progress = SILENT) -> float:
    """Chain the flow from a grid of points of every frame, and keep what is consistent and similar in appearance.

    A chain is accepted if its hops pass the cycle check and, from three frames on, its end matches the appearance of
    its start: by their patches, or by their features if the settings name an extractor.
    Its confidence is `chain_confidence`, which falls with the accumulated squared cycle error, times the similarity of
    the patches, times the share of the flow that is the point's own: a point without texture has the flow of its
    surroundings (`omnitrack.correspondence.blank_areas`) and adds no evidence. Points that have just become occluded
    are kept, marked as occluded. With ``filter.found_again``, points are also trusted where their surroundings find
    them again (`omnitrack.correspondence.grid_correction`), in a limited number of source frames (`finds_again`).

    Args:
        project: Has flow with judged hops, and features if the settings name an extractor.
        settings: Uses the tables ``features`` and ``filter``.
        progress: Receives progress updates and messages.

    Returns:
        Seconds that it took.

    Raises:
        OmnitrackError: No flow, damaged flow, gaps below 1, missing features, or a full disk.
    """
    started = time.perf_counter()
    _check_gaps(settings.filter)
    features_stamp, max_gb = wanted_features(project, settings.features), settings.memory.max_gb
    features_bytes = 0
    if features_stamp is not None:
        with FeatureStore(project) as features:
            features_bytes = features.decoded_bytes
    with FlowStore(project) as flows:
        stamp = filter_stamp(flows.flow_stamp, settings.filter, features_stamp)
        parts = filtered_file(project).parts(stamp, progress)
        points, reach = len(_grid_of(project, settings.filter)[0]), max(_distances_of(project, settings.filter))
        found_again = settings.filter.found_again
        budget = budget_of(flows, project.num_frames, reach, points, max_gb, features_bytes, found_again)
    if budget.enough_gb is not None:
        progress.note(
            f"filtering reads flow again and again, because {max_gb:g} GB cannot hold what a frame needs of it:"
            f" with --max-memory {budget.enough_gb:g}GB it takes a fraction of the time"
        )
    begin = partial(_Chaining, project, settings.filter, features_stamp is not None, budget)
    with begin() as work:
        write_frames(parts, project.num_frames, work, begin, "filter", progress, budget.processes)
    seconds = time.perf_counter() - started
    parts.merge(stamp, map(frame_name, range(project.num_frames)), seconds)
    return seconds


def target_distances(num_frames: int, window: int) -> set[int]:
    """Return the distances of stored targets: every one nearby, then increasingly sparse, up to the window."""
    farthest = window or (num_frames if num_frames <= LONG_CLIP_FRAMES else LONG_CLIP_WINDOW)
    distances = [1]
    while distances[-1] < min(farthest, num_frames - 1):
        distances.append(min(farthest, max(distances[-1] + 1, round(distances[-1] * TARGET_GROWTH))))
    return set(distances)


def finds_again(source: int, shot: range) -> bool:
    """Whether points of a source frame are found again: all of a short shot, else `MOST_GRIDS` at most."""
    return (source - shot.start) % -(-len(shot) // MOST_GRIDS) == 0


def _distances_of(project: Project, settings: FilterSettings) -> set[int]:
    return target_distances(max(map(len, project.shots)), settings.window)


def _grid_of(project: Project, settings: FilterSettings) -> tuple[Array, int]:
    """The densest grid of at most ``filter.grid_points`` pixels, and its stride."""
    stride = 1
    while np.prod(grid_shape(project.size, stride)) > settings.grid_points:
        stride += 1
    return pixel_grid(project.size, stride), stride


class _Chaining(FrameWork):
    """Chains from one source frame at a time.

    Args:
        project: Has flow with judged hops.
        settings: How to chain.
        with_features: Also compare features, which the project has.
        budget: What each process may cache.
    """

    def __init__(self, project: Project, settings: FilterSettings, with_features: bool, budget: Budget) -> None:
        self._project = project
        self._settings = settings
        self._open = ExitStack()
        with self._open:
            flows = self._flows = self._open.enter_context(FlowStore(project, cache_bytes=budget.flow_bytes))
            frames = BlurredFrames(project.frame, project.size, budget.looks_bytes)
            self._appearance = FramePatches(frames)
            self._features, self._feature_threshold = None, settings.feature_threshold
            if with_features:
                features = self._open.enter_context(FeatureStore(project, budget.looks_bytes))
                self._features = FrameFeatures(features.features, project.size)
                self._feature_threshold = settings.feature_threshold or features.threshold
            self._open = self._open.pop_all()
        self._threshold_px = settings.cycle_threshold_px
        self._grid, self._stride = _grid_of(project, settings)
        self._distances = _distances_of(project, settings)
        reach = min(REACH_FRAMES, max(self._distances))

        @lru_cache(2)  # of the shots in progress
        def recovery(shot: range) -> Recovery:
            return Recovery(
                FlowsWithin(flows, shot),
                frames.within(shot),
                len(shot),
                settings.gaps,
                settings.cycle_threshold_px,
                reach_frames=reach,
            )

        self._recovery = recovery

    def close(self) -> None:
        """Close the flow and the features."""
        self._open.close()

    def write(self, source: int, file: h5py.File) -> None:
        """Chain from a source frame."""
        self._flows.begin_round()
        write_source(file, self._correspondences(source), self._project.size)

    def _correspondences(self, source: int) -> SourceCorrespondences:
        patches = self._appearance.patches(source, self._grid)
        squared = patches.texture() ** 2
        own = squared / (squared + HALF_TEXTURE**2)
        features = None if self._features is None else self._features.at(source, self._grid)
        targets, displacement, confidence, occluded, statistics = [], [], [], [], []
        for target, state in self._chains(source, patches):
            sure, rejected = self._confidence(patches, features, abs(target - source), target, state)
            targets.append(target)
            displacement.append(state.pixels - self._grid)
            confidence.append(own * sure)
            occluded.append(state.reliable & ~state.visible)
            statistics.append(_statistics(confidence[-1], occluded[-1], state, rejected))
        return SourceCorrespondences(
            source=source,
            targets=targets,
            grid_stride=self._stride,
            displacement=np.array(displacement).reshape(-1, len(self._grid), 2),
            confidence=np.array(confidence).reshape(-1, len(self._grid)),
            occluded=np.array(occluded, bool).reshape(-1, len(self._grid)),
            statistics=np.array(statistics, STATISTICS),
        )

    def _chains(self, source: int, patches: Patches) -> Iterator[tuple[int, ChainState]]:
        s = self._settings
        shot, window = self._project.shot(source), max(self._distances)

        def similarity(target: int, pixels: Array, rows: Rows) -> Array:
            return self._appearance.similarity(patches[rows], target, pixels)

        revisits = Revisits(self._flows, source, shot, window, self._threshold_px)
        revisits.pass_by(source, start_state(self._grid))

        def passing() -> Iterator[tuple[int, ChainState]]:
            for targets in outward(source, shot, window):
                for target, state in chain(
                    self._flows, source, self._grid, targets, s.gaps, self._threshold_px, similarity
                ):
                    revisits.pass_by(target, state)
                    if abs(target - source) in self._distances:
                        yield target, state

        find_again = s.found_again and finds_again(source, shot)
        yield from self._corrected(source, shot, passing()) if find_again else passing()
        yield from revisits.found()

    def _corrected(
        self, source: int, shot: range, chained: Iterator[tuple[int, ChainState]]
    ) -> Iterator[tuple[int, ChainState]]:
        """Correct chains by the grid of the source frame: see `GridCorrection`."""
        states = {target - shot.start: state for target, state in chained}
        if not states:
            return
        correction = GridCorrection(self._recovery(shot), source - shot.start, self._grid, states)
        for target, state in states.items():
            yield shot.start + target, correction.of(target, state)

    def _confidence(
        self, patches: Patches, features: Array | None, gap: int, target: int, state: ChainState
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return confidence (P,) in [0, 1], and which consistent points (P,) are rejected by appearance.

        Features take precedence over patches: also requiring similar patches would reject more correct
        correspondences than wrong ones (tests/benchmarks/HISTORY.md). Patches still scale the confidence.
        """
        confidence = (state.reliable * chain_confidence(state.variance, self._threshold_px)).astype(np.float32)
        rejected = np.zeros(len(confidence), bool)
        if gap < APPEARANCE_FROM_GAP:
            return confidence, rejected
        seen = np.flatnonzero(state.visible)
        if self._settings.appearance_threshold > -1:
            similarity = self._appearance.similarity(patches[seen], target, state.pixels[seen])
            if features is None:
                rejected[seen] = similarity < self._settings.appearance_threshold
            confidence[seen] *= similarity.clip(0, 1)
        if self._features is not None and features is not None:
            similarity = self._features.similarity(features[seen], target, state.pixels[seen])
            rejected[seen] = similarity < self._feature_threshold
        return np.where(rejected, 0, confidence), rejected


def _statistics(
    confidence: NDArray[np.float32], occluded: NDArray[np.bool_], state: ChainState, rejected: NDArray[np.bool_]
) -> tuple[int, int, int, float, float]:
    valid = confidence > 0
    count = int(valid.sum())
    error = float(np.sqrt(np.median(state.variance[valid]))) if count else float("nan")
    mean = float(confidence[valid].mean()) if count else 0.0
    return count, int((occluded & valid).sum()), int(rejected.sum()), mean, error


def _report(project: Project, seconds: float) -> FilterReport:
    product = filtered_file(project)
    statistics, sources, points = read_statistics(project)
    valid = int(statistics["valid"].sum())
    rejected = int(statistics["rejected"].sum())
    return FilterReport(
        sources=sources,
        pairs=len(statistics),
        correspondences=valid,
        valid_share=valid / max(1, len(statistics) * points),
        occluded_share=int(statistics["occluded"].sum()) / max(1, valid),
        mean_confidence=float((statistics["mean_confidence"] * statistics["valid"]).sum() / max(1, valid)),
        appearance_rejected_share=rejected / max(1, valid + rejected),
        seconds=seconds,
        bytes=product.bytes(),
    )
