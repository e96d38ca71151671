"""Whether a flow vector may be believed: there and back again, and there, back and there again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array, inside, pixel_grid, raster_scale, sample

TYPICAL_SHARE = 0.9  # of the pixels of adjacent frames: their largest cycle error says how good the flow is
TYPICAL_FACTOR = 5.0  # times that error is inconsistent
LEAST_THRESHOLD_PX = 0.5
PROBES = 8  # adjacent pairs looked at
PROBE_STRIDE = 8


@dataclass(frozen=True)
class Hop:
    """One measured step of P points from a frame to another.

    Attributes:
        pixels: (P, 2) where the points land.
        cycle_error: (P,) distance from the start after going there and back, in pixels of the frame.
        double_cycle_error: (P,) distance of the landing point from where there-back-there lands, in pixels; small
            where the surface that lies there now is itself matched well.
        inside: (P,) bool, whether the landing point is on the frame.
        confidence: (P,) in [0, 1], what the estimator itself says; 1 where it does not say.
    """

    pixels: Array
    cycle_error: Array
    double_cycle_error: Array
    inside: NDArray[np.bool_]
    confidence: Array


def take_hop(flows: FlowSource, source: int, target: int, pixels: Array) -> Hop:
    """Move points from frame `source` to frame `target` along the flow and measure its consistency.

    The cycle error is e1 = |F(x) + B(x + F(x))|; with x' = x + F(x) + B(x + F(x)) the double-cycle error is
    e2 = |x' + F(x') - (x + F(x))| (F there, B back).

    Args:
        flows: Has both directions of the pair.
        source: Frame of `pixels`.
        target: Frame to go to.
        pixels: (P, 2) positions in `source`.

    Source:
        OmniMotion (ICCV 2023), supplement: flow filtering.
    """
    forward = flows.flow(source, target)
    landed = pixels + sample(forward, pixels)
    returned = landed + sample(flows.flow(target, source), landed)
    landed_again = returned + sample(forward, returned)
    confidence = flows.confidence(source, target)
    return Hop(
        pixels=landed,
        cycle_error=np.linalg.norm(returned - pixels, axis=-1),
        double_cycle_error=np.linalg.norm(landed_again - landed, axis=-1),
        inside=inside(landed, flows.size),
        confidence=np.ones(len(pixels), np.float32) if confidence is None else sample(confidence, pixels),
    )


def reliable_occlusion(hop: Hop, threshold_px: float) -> NDArray[np.bool_]:
    """Points whose flow leads behind something but is believable: (P,) bool.

    The landing place is covered (going back leads elsewhere: e1 > 1.5 threshold) by a surface that is itself
    matched well (e2 < threshold).

    Source:
        OmniMotion (ICCV 2023), supplement: occluded points in flow filtering (used for gaps under 3 frames).
    """
    return (hop.double_cycle_error < threshold_px) & (hop.cycle_error > 1.5 * threshold_px) & hop.inside


def fitting_threshold(flows: FlowSource, num_frames: int, most_px: float) -> float:
    """The largest cycle error to believe, by how good the flow of this clip is.

    A point that is covered slowly never has a large cycle error, so a threshold for bad flow misses it in a clip whose
    flow is good. Five times the error that nine in ten pixels of adjacent frames stay under, at least 0.5 px.

    Args:
        flows: Has some adjacent pairs, both ways.
        num_frames: T.
        most_px: The threshold for bad flow, at 256 x 256.

    Returns:
        A threshold in pixels at 256 x 256.
    """
    grid = pixel_grid(flows.size, PROBE_STRIDE)
    starts = range(0, num_frames - 1, max(1, (num_frames - 1) // PROBES))
    pairs = [(t, t + 1) for t in starts if flows.has(t, t + 1) and flows.has(t + 1, t)]
    if not pairs:
        return most_px
    errors = np.concatenate([take_hop(flows, source, target, grid).cycle_error for source, target in pairs])
    typical = float(np.quantile(errors, TYPICAL_SHARE)) / raster_scale(flows.size)
    return float(np.clip(TYPICAL_FACTOR * typical, min(LEAST_THRESHOLD_PX, most_px), most_px))
