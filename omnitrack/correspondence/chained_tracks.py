"""Points of one frame chained to all frames: their tracks according to the measured flow alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chaining import (
    CAUTIOUS,
    Amend,
    ChainState,
    HopPrices,
    Similarity,
    chain,
    chain_confidence,
    outward,
    start_state,
)
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array

LEAST_BELIEF = 0.3  # in a chain of consistent hops: errors of hops are correlated, so their doubts do not add up


@dataclass(frozen=True)
class ChainedTrack:
    """Tracks of P points in all T frames according to the measured flow alone.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, T, 2) positions.
        visible: (P, T) bool.
        confidence: (P, T) in [0, 1], 0 where not visible (`omnitrack.correspondence.chaining.chain_confidence`).
        found_again: (P, T) bool, visible, and matching its appearance in every frame since it was found again
            (`omnitrack.correspondence.recovery`).
        covered: (P, T) bool, occluded: another object is visible at its position (`omnitrack.correspondence.recovery`).
    """

    pixels: Array
    visible: NDArray[np.bool_]
    confidence: Array
    found_again: NDArray[np.bool_]
    covered: NDArray[np.bool_]


def chain_everywhere(
    flows: FlowSource,
    source: int,
    pixels: Array,
    num_frames: int,
    gaps: Sequence[int],
    threshold_px: float,
    similarity: Similarity | None = None,
    prices: HopPrices = CAUTIOUS,
) -> ChainedTrack:
    """Chain points (P, 2) of one frame to all frames; see `omnitrack.correspondence.chaining.chain`."""
    states = chained_states(flows, source, pixels, range(num_frames), gaps, threshold_px, similarity, prices)
    return chained_track(states, threshold_px)


def chained_states(
    flows: FlowSource,
    source: int,
    pixels: Array,
    frames: range,
    gaps: Sequence[int],
    threshold_px: float,
    similarity: Similarity | None = None,
    prices: HopPrices = CAUTIOUS,
    amend: Amend | None = None,
) -> list[ChainState]:
    """The states of points (P, 2) of one frame in `frames` around it; see `omnitrack.correspondence.chaining.chain`."""
    start = np.asarray(pixels, np.float32)
    states = {source: start_state(start)}
    for targets in outward(source, frames):
        states.update(chain(flows, source, start, targets, gaps, threshold_px, similarity, prices, amend))
    return [states[t] for t in frames]


def chained_track(states: Sequence[ChainState], threshold_px: float) -> ChainedTrack:
    """Convert chained states (P,) of all T frames, in order, to tracks; `threshold_px` is the threshold of `chain`."""
    visible = np.stack([s.visible for s in states], 1)
    variance, doubt = (np.stack([getattr(s, name) for s in states], 1) for name in ("variance", "doubt"))
    pixels = np.stack([s.pixels for s in states], 1)
    belief = LEAST_BELIEF + (1 - LEAST_BELIEF) * np.exp(-doubt)
    found_again, covered = (np.stack([getattr(s, name) for s in states], 1) for name in ("found_again", "covered"))
    confidence = visible * chain_confidence(variance, threshold_px) * belief
    return ChainedTrack(pixels, visible, confidence, visible & found_again, covered)
