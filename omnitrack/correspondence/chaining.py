"""Flow over any distance as the best of many compositions: chaining over several gaps.

Going outward from a source frame, every point reaches frame j by the cheapest of several last hops: from frame
j - 1, j - 2, j - 4, ... So a point that drifts or is occluded in one composition is carried by another, and a long hop
can jump over an occlusion. A path costs

    sum_hops  e^2 - log (1 - P) + h

with e the forward-backward error of a hop, which accumulates as drift, P the probability that the hop is wrong
(`hop_reliability.py`), and h a small cost per hop. The sum of log (1 - P) is the log-likelihood that all hops are
right.

Source:
    MFT (Neoral et al., WACV 2024), with these costs in place of a learned uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.consistency import double_cycle_error, reliable_occlusion, take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array
from omnitrack.units import raster_scale

UNLIKE_COST = 0.7  # of landing on an unrelated appearance: halfway between equal (0) and opposite (twice this)
MAX_ERROR_PX = 20.0  # larger errors (at 256 x 256) count as this one
LEAST_CONFIDENCE = 0.5  # of the estimator itself in a hop; below, the point counts as occluded
UNSURE_PX2 = 1.0  # variance of a hop, at 256 x 256, at a confidence of 1/2 by the estimator; 0 at a confidence of 1
MAX_RELIABLE_GAP = 2  # flow into an occlusion is trusted over this many frames

Rows = NDArray[np.int64] | slice  # some of the points that are followed
# Similarity (n,), at most 1, of the points in the given rows to pixels (n, 2) of a frame.
Similarity = Callable[[int, Array, Rows], Array]
Amend = Callable[[int, "ChainState"], "ChainState"]  # from a target frame and its state to the amended state


@dataclass(frozen=True)
class HopPrices:
    """Costs of hops, in squared pixels at 256 x 256.

    Attributes:
        hop: Per hop: of two equally good paths, the one with fewer hops is taken.
        doubt: Per nat of - log (1 - P), P the probability that the hop is wrong.
        inconsistent: If the cycle error is above the threshold, or the confidence below `LEAST_CONFIDENCE`.
        hidden: If the point is occluded in the frame that the hop starts in.
        most_wrong: A point is not visible after a hop with a larger P.
    """

    hop: float = 0.005
    doubt: float = 1.0
    inconsistent: float = 0.0
    hidden: float = 10.0
    most_wrong: float = 1.0


PRICES = HopPrices()
CAUTIOUS = HopPrices(most_wrong=0.9)  # where the chain alone decides whether a point is visible
LEAST_RIGHT = 1e-3  # lower bound of the probability that a hop is right: bounds its cost


@dataclass(frozen=True)
class ChainState:
    """State of P points of the source frame in one frame.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, 2) positions.
        visible: (P,) bool, the chain reached the point by consistent hops.
        reliable: (P,) bool, the position is trusted: visible, or just occluded by a surface that is matched well.
        cost: (P,) accumulated cost of the path.
        variance: (P,) accumulated squared cycle error of the path, in squared pixels at 256 x 256.
        doubt: (P,) accumulated - log (1 - P) of the path; exp (- doubt) is the probability that all its hops are right.
        found_again: (P,) bool, the path begins where the lost point was found again (`recovery.py`).
        covered: (P,) bool, occluded: another object is visible at the position (`recovery.py`).
    """

    pixels: Array
    visible: NDArray[np.bool_]
    reliable: NDArray[np.bool_]
    cost: Array
    variance: Array
    doubt: Array
    found_again: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def chain_confidence(variance: Array, threshold_px: float) -> Array:
    """Confidence in a chain of accumulated squared cycle error v: 1 / (1 + v / (threshold / 2)^2)."""
    return np.asarray(1 / (1 + variance / (threshold_px / 2) ** 2), np.float32)


def start_state(pixels: Array) -> ChainState:
    """The state of points (P, 2) in their own frame."""
    yes, zero = np.ones(len(pixels), bool), np.zeros(len(pixels), np.float32)
    return ChainState(np.asarray(pixels, np.float32), yes, yes, zero, zero, zero, ~yes, ~yes)


def outward(source: int, frames: range, window: int = 0) -> list[list[int]]:
    """Lists of the later and the earlier `frames` to visit from `source`, up to a distance `window` (0: no limit)."""
    reach = window or len(frames)
    later = list(range(source + 1, min(frames.stop, source + reach + 1)))
    earlier = list(range(source - 1, max(frames.start - 1, source - reach - 1), -1))
    return [later, earlier]


def chain(
    flows: FlowSource,
    source: int,
    pixels: Array,
    targets: Sequence[int],
    gaps: Sequence[int],
    threshold_px: float,
    similarity: Similarity | None = None,
    prices: HopPrices = PRICES,
    amend: Amend | None = None,
) -> Iterator[tuple[int, ChainState]]:
    """Follow points from a source frame outward in one direction.

    Hops between partners (`FlowSource.partners`) are tried in addition to those of the given lengths. States are kept
    only while a later target needs them: the last `max(gaps)` states, and those of frames with partners ahead.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        flows: Pairwise flow; hops of missing pairs are not tried.
        source: Frame of the points.
        pixels: (P, 2) float32 positions in the source frame.
        targets: Consecutive frames going away from `source`, as returned by `outward`.
        gaps: Lengths of the hops to try.
        threshold_px: Largest cycle error of a visible point, at 256 x 256.
        similarity: Similarity of the points to the positions where they land. If given, hops are also chosen by
            appearance: flow that slid onto another object is consistent, but the appearance differs.
        prices: Costs of the hops.
        amend: Changes each state before the chain continues from it. Its arrays are read only when a hop starts there:
            a caller that keeps them can mark points in them as occluded until then.

    Yields:
        (target, state), in the order of `targets`.
    """
    count = len(pixels)
    states = {source: start_state(pixels)}
    needed = _last_use(flows, targets)
    longest = max(gaps)
    for target in targets:
        direction = 1 if target > source else -1
        starts = [target - direction * gap for gap in gaps]
        candidates = [
            extend(flows, states[start], start, target, threshold_px, prices)
            for start in (*starts, *(partner for partner in flows.partners(target) if partner not in starts))
            if start in states and flows.has(start, target) and flows.has(target, start)
        ]
        if candidates:
            best = cheapest(candidates, target, similarity)
        else:  # no measured hop: the point stays where it was, as lost
            last = states[target - direction]
            no = np.zeros(count, bool)
            lost = last.variance + MAX_ERROR_PX**2, last.doubt - np.log(LEAST_RIGHT, dtype=np.float32)
            best = ChainState(last.pixels, no, no, last.cost + prices.hidden, *lost, last.found_again, no)
        states[target] = best = best if amend is None else amend(target, best)
        for frame in [t for t in states if abs(target - t) >= longest]:
            if direction * (needed.get(frame, target) - target) <= 0:
                del states[frame]
        yield target, best


def _last_use(flows: FlowSource, targets: Sequence[int]) -> dict[int, int]:
    """For each partner of the targets, the last target that needs it."""
    return {partner: target for target in targets for partner in flows.partners(target)}


def extend(
    flows: FlowSource,
    state: ChainState,
    start: int,
    target: int,
    threshold_px: float,
    prices: HopPrices = PRICES,
) -> ChainState:
    """Extend the state of points in frame `start` by one hop, to frame `target`."""
    scale = raster_scale(flows.size)
    hop = take_hop(flows, start, target, state.pixels)
    error = np.minimum(hop.cycle_error / scale, MAX_ERROR_PX)
    inconsistent = (error > threshold_px) | (hop.confidence < LEAST_CONFIDENCE)
    visible = state.visible & ~inconsistent & hop.inside & (hop.wrong <= prices.most_wrong)
    reliable = visible
    if abs(target - start) <= MAX_RELIABLE_GAP:
        double_cycle = double_cycle_error(flows, start, target, hop)
        reliable = visible | (state.visible & reliable_occlusion(hop, double_cycle, threshold_px * scale))
    variance = error**2 + UNSURE_PX2 * (1 / hop.confidence.clip(1e-2) - 1)
    doubt = -np.log(np.maximum(1 - hop.wrong, LEAST_RIGHT))
    price = prices.hop + variance + prices.doubt * doubt
    price = price + prices.hidden * ~state.visible + prices.inconsistent * inconsistent
    cost = (state.cost + price).astype(np.float32)
    variance, doubt, unknown = state.variance + variance, state.doubt + doubt, np.zeros_like(visible)
    return ChainState(hop.pixels, visible, reliable, cost, variance, doubt, state.found_again, unknown)


def cheapest(candidates: Sequence[ChainState], target: int, similarity: Similarity | None = None) -> ChainState:
    """Choose for each point the candidate with the lowest price, the first of equals.

    The price is the cost, plus a penalty for a different appearance if a similarity is given. The penalty is never
    negative, so appearances are compared in the order of the costs, and only while a cost is at most the best price:
    the same choice as by comparing them all, with half of the work.

    Args:
        candidates: States of the same P points in the frame `target`.
        target: The frame of the states.
        similarity: See `chain`.
    """
    cost = np.stack([candidate.cost for candidate in candidates])  # (K, P)
    points = np.arange(cost.shape[1])
    chosen = cost.argmin(0)
    if similarity is not None and len(candidates) > 1:
        pixels = np.stack([candidate.pixels for candidate in candidates])
        least = np.full(len(points), np.inf, np.float32)
        for nth in np.argsort(cost, axis=0, kind="stable"):
            rows = np.flatnonzero(cost[nth, points] <= least)
            which, best = nth[rows], least[rows]
            unlike = 1 - similarity(target, pixels[which, rows], rows)
            price = cost[which, rows] + UNLIKE_COST * unlike
            better = (price < best) | ((price == best) & (which < chosen[rows]))
            chosen[rows[better]], least[rows[better]] = which[better], price[better]
    together = [np.stack([getattr(candidate, field.name) for candidate in candidates]) for field in fields(ChainState)]
    return ChainState(*(values[chosen, points] for values in together))


def choose(first: NDArray[np.bool_], a: ChainState, b: ChainState) -> ChainState:
    """For each point, the state in `a` if `first` (P,) is true, else the state in `b`."""

    def of(name: str) -> NDArray[Any]:
        values = getattr(a, name), getattr(b, name)
        return np.where(first[:, None] if values[0].ndim > 1 else first, *values)

    return ChainState(*(of(field.name) for field in fields(ChainState)))
