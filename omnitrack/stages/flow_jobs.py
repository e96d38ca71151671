"""The jobs of the flow stage: pairs of frames, in an order in which each can start from the flow of a shorter gap."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.contract import FlowEstimate, Pair, PairEstimator
from omnitrack.errors import OmnitrackError
from omnitrack.project.flow_codec import decode, encode
from omnitrack.project.store import group_name, write_flow

FARTHEST_WARM = 64  # frames: the next two keyframes on either side are always nearer


class Stopped(Exception):
    """The run was stopped while a job was in progress."""


def split_into_jobs(missing: Sequence[Pair], batch_pairs: int) -> list[list[Pair]]:
    """Group pairs by source frame; a job has as many source frames as fill a batch with one gap in both directions."""
    by_source: dict[int, list[Pair]] = defaultdict(list)
    for pair in missing:
        by_source[pair[0]].append(pair)
    sources, together = sorted(by_source), max(1, batch_pairs // 2)
    blocks = [sources[first : first + together] for first in range(0, len(sources), together)]
    return [[pair for source in block for pair in by_source[source]] for block in blocks]


@dataclass(frozen=True)
class FlowJob:
    """The flow from some source frames to some targets.

    With warm start, the search for a pair starts from the flow of the same source at the largest power of two below its
    gap: gap 12 starts from gap 8, which starts from gap 4. Flow of these gaps is computed even if it is not among the
    pairs, so that the start of a search does not depend on what is requested. Frames farther apart than `FARTHEST_WARM`
    by a gap that is not a power of two are usually keyframes selected for their content: the view may be lost between
    them, so their search has no initial guess.

    Attributes:
        pairs: Pairs to compute; all pairs of a source frame that a run computes are in one job.
        estimator: Computes the flow.
        name: Name of the estimator in the settings.
        size: (width, height) of the frames.
        warm_start: See above.
        stop: Set when the run is stopped.
    """

    pairs: Sequence[Pair]
    estimator: PairEstimator
    name: str
    size: tuple[int, int]
    warm_start: bool
    stop: threading.Event

    def write(self, part: h5py.File) -> None:
        """Compute all pairs into the part, from the smallest gap to the largest."""
        wanted = set(self.pairs)
        starts: dict[tuple[int, int], NDArray[np.float32]] = {}  # by source frame and direction
        for gap, pairs in self._by_gap():
            cold = gap > FARTHEST_WARM and gap & (gap - 1) != 0
            initial = [None if cold else starts.get(_side(pair)) for pair in pairs]
            for pair, estimate in zip(pairs, self._estimate(pairs, initial), strict=True):
                encoded = encode(estimate.flow)
                if pair in wanted:
                    write_flow(part.create_group(group_name(pair)), encoded, estimate.confidence)
                if self.warm_start and gap & (gap - 1) == 0:
                    measured = estimate.measured
                    starts[_side(pair)] = decode(encoded if measured is None else encode(measured))

    def _by_gap(self) -> Iterator[tuple[int, list[Pair]]]:
        """Yield gaps from the smallest, each with a batch of its pairs, including those that only serve as starts."""
        pairs_of: dict[int, set[Pair]] = defaultdict(set)
        for source, target in self.pairs:
            gap, direction = abs(target - source), 1 if target > source else -1
            warm = self.warm_start and (gap <= FARTHEST_WARM or gap & (gap - 1) == 0)
            steps = [2**i for i in range(gap.bit_length()) if 2**i < gap] if warm else []
            for step in (*steps, gap):
                pairs_of[step].add((source, source + direction * step))
        batch = max(1, self.estimator.batch_pairs)
        for gap in sorted(pairs_of):
            pairs = sorted(pairs_of[gap])
            for first in range(0, len(pairs), batch):
                yield gap, pairs[first : first + batch]

    def _estimate(self, pairs: list[Pair], initial: list[NDArray[np.float32] | None]) -> Sequence[FlowEstimate]:
        if self.stop.is_set():
            raise Stopped
        try:
            estimates = self.estimator.estimate_pairs(pairs, initial)
        except (OmnitrackError, MemoryError):
            raise
        except Exception as error:  # a plug-in can fail in any way; the pair and its name are what the user needs
            raise self._failure(pairs[0], f"failed: {error}") from error
        return [self._checked(pair, estimate) for pair, estimate in zip(pairs, estimates, strict=True)]

    def _checked(self, pair: Pair, estimate: FlowEstimate) -> FlowEstimate:
        flow = np.asarray(estimate.flow, np.float32)
        expected = (self.size[1], self.size[0], 2)
        if flow.shape != expected:
            raise self._failure(pair, f"returned an array of shape {flow.shape}, not {expected}")
        if not np.isfinite(flow).all():
            count = int((~np.isfinite(flow).all(-1)).sum())
            raise self._failure(pair, f"returned flow that is not finite at {count} pixels")
        confidence = estimate.confidence
        if confidence is not None:
            confidence = np.asarray(confidence, np.float32)
            if confidence.shape != expected[:2] or not ((confidence >= 0) & (confidence <= 1)).all():
                raise self._failure(pair, f"returned a confidence that is not {expected[:2]} values from 0 to 1")
        return FlowEstimate(flow, confidence, estimate.measured)

    def _failure(self, pair: Pair, what: str) -> OmnitrackError:
        return OmnitrackError(
            f"flow estimator {self.name!r} on frames {pair[0]} -> {pair[1]} {what}",
            "finished frames are kept; try another estimator: --estimator dis",
        )


def _side(pair: Pair) -> tuple[int, int]:
    return pair[0], 1 if pair[1] > pair[0] else -1
