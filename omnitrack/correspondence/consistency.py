"""Whether a flow vector can be trusted: cycle errors after going there and back, and there, back and there again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array, CoarseGrid, inside, lengths


@dataclass(frozen=True)
class Hop:
    """One measured step of P points from one frame to another.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, 2) where the points land.
        cycle_error: (P,) distance from the start after going there and back, in pixels of the frame.
        returned: (P, 2) where the points are after going there and back.
        inside: (P,) bool, whether the landing point is on the frame.
        confidence: (P,) in [0, 1], the estimator's own confidence; 1 if it gives none.
        wrong: (P,) in [0, 1], probability that the hop leads elsewhere, or that the point is occluded in the target,
            according to the clip's other hops (`omnitrack.correspondence.hop_reliability`); 0 if not judged.
    """

    pixels: Array
    returned: Array
    cycle_error: Array
    inside: NDArray[np.bool_]
    confidence: Array
    wrong: Array


def take_hop(flows: FlowSource, source: int, target: int, pixels: Array) -> Hop:
    """Move points from frame `source` to frame `target` along the flow and measure its consistency.

    The cycle error is e1 = |F(x) + B(x + F(x))| (F there, B back).

    Convention:
        Pixels are (x, y), x right, y down, centres at integers.

    Args:
        flows: Contains both directions of the pair.
        source: Frame of `pixels`.
        target: Frame to go to.
        pixels: (P, 2) positions in `source`.

    Example:
        >>> class ThreePixelsRight(FlowSource):
        ...     size = (8, 4)
        ...     def flow(self, source, target):
        ...         return np.full((4, 8, 2), [3.0 * (target - source), 0], np.float32)
        >>> hop = take_hop(ThreePixelsRight(), 0, 1, np.array([[1, 2], [6, 2]], np.float32))
        >>> hop.pixels.tolist(), hop.cycle_error.tolist(), hop.inside.tolist()
        ([[4.0, 2.0], [9.0, 2.0]], [0.0, 0.0], [True, False])

    Source:
        OmniMotion (ICCV 2023), supplement: flow filtering.
    """
    landed = pixels + flows.flow_at(source, target, pixels)
    returned = landed + flows.flow_at(target, source, landed)
    confidence, doubt = flows.confidence_at(source, target, pixels), flows.doubt(source, target)
    return Hop(
        pixels=landed,
        returned=returned,
        cycle_error=lengths(returned - pixels),
        inside=inside(landed, flows.size),
        confidence=np.ones(len(pixels), np.float32) if confidence is None else confidence,
        wrong=np.zeros(len(pixels), np.float32) if doubt is None else _probability(doubt, pixels, flows.size),
    )


def _probability(log_odds: Array, pixels: Array, size: tuple[int, int]) -> Array:
    return np.asarray(1 / (1 + np.exp(-CoarseGrid.of(size).read(log_odds, pixels))), np.float32)


def double_cycle_error(flows: FlowSource, source: int, target: int, hop: Hop) -> Array:
    """Distance (P,), in pixels, between the landing points of a hop and those after going there, back and there again.

    e2 = |x' + F(x') - (x + F(x))| with x' = x + F(x) + B(x + F(x)) (F there, B back): small where the surface that is
    there in the target frame is itself matched well.
    """
    return lengths(hop.returned + flows.flow_at(source, target, hop.returned) - hop.pixels)


def reliable_occlusion(hop: Hop, double_cycle: Array, threshold_px: float) -> NDArray[np.bool_]:
    """Points whose flow leads behind another surface but can be trusted: (P,) bool.

    The landing position is occluded (going back leads elsewhere: e1 > 1.5 threshold) by a surface that is itself
    matched well (e2 < threshold).

    Source:
        OmniMotion (ICCV 2023), supplement: occluded points in flow filtering (used for gaps under 3 frames).
    """
    return (double_cycle < threshold_px) & (hop.cycle_error > 1.5 * threshold_px) & hop.inside
