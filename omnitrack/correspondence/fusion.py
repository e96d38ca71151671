"""A fitted field and the measured flow around a track, fused: the field's order and reach, the flow's precision.

Per point, the positions x_t in all T frames minimise

    sum_hops w |x_j - x_k - F_kj(x_k)|^2  +  sum_t p |x_t - f_t|^2  +  a sum_t |x_{t-1} - 2 x_t + x_{t+1}|^2

over all measured hops k -> j between frames in which the point is seen, with f the field's track and x fixed at the
query. A hop weighs w = 1 / (s^2 + e^2), e its cycle error, less where it disagrees with the track (Cauchy). Hops are
measured again at the new positions a few times; each time is one T x T solve per point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chaining import ChainState, chain, outward
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.flows import Array, FlowSource, raster_scale

MEASURED_PX = 0.3  # standard deviation of a hop without cycle error, at 256 x 256
CAUCHY_PX = 1.0  # disagreement of a hop with the track at which it counts half
FIELD_WEIGHT = 0.02  # of the field's position, in 1 / px^2 at 256 x 256
SMOOTHNESS = 0.02  # of the acceleration, likewise
ROUNDS = 3
QUERY_WEIGHT = 1e6  # keeps the query where it is
MAX_ERROR_PX = 20.0
AGREEMENT_PX = 4.0  # distance of field and chain at which the confidence in their agreement is half
SOLVE_FLOATS = 1 << 24  # of the matrices solved at once: bounds the memory


@dataclass(frozen=True)
class ChainedTrack:
    """What the measured flow alone says of P points in all T frames.

    Attributes:
        pixels: (P, T, 2) positions.
        visible: (P, T) bool.
        variance: (P, T) accumulated squared cycle error, in squared pixels at 256 x 256.
    """

    pixels: Array
    visible: NDArray[np.bool_]
    variance: Array


def chain_everywhere(
    flows: FlowSource, source: int, pixels: Array, num_frames: int, gaps: Sequence[int], threshold_px: float
) -> ChainedTrack:
    """Chain points (P, 2) of one frame to all frames, see `omnitrack.correspondence.chaining.chain`."""
    start = np.asarray(pixels, np.float32)
    yes, zero = np.ones(len(start), bool), np.zeros(len(start), np.float32)
    states = {source: ChainState(start, yes, yes, zero, zero)}
    for targets in outward(source, num_frames):
        states.update(chain(flows, source, start, targets, gaps, threshold_px))
    ordered = [states[t] for t in range(num_frames)]
    return ChainedTrack(
        np.stack([s.pixels for s in ordered], 1),
        np.stack([s.visible for s in ordered], 1),
        np.stack([s.variance for s in ordered], 1),
    )


def fuse_positions(
    flows: FlowSource,
    source: int,
    chained: ChainedTrack,
    field_pixels: Array,
    seen: NDArray[np.bool_],
    gaps: Sequence[int],
) -> Array:
    """Positions that agree best with the measured hops and the field.

    Args:
        flows: Pairwise flow.
        source: Query frame; positions there stay as they are.
        chained: The measured tracks: the start where they are visible.
        field_pixels: (P, T, 2) the field's tracks: the start elsewhere, and the prior everywhere.
        seen: (P, T) bool: hops are measured between these.
        gaps: Lengths of the hops.

    Returns:
        (P, T, 2) float32 pixels.
    """
    count, num_frames = seen.shape
    start = np.where(chained.visible[..., None], chained.pixels, field_pixels)
    start[:, source] = chained.pixels[:, source]
    step = max(1, SOLVE_FLOATS // num_frames**2)
    parts = [
        _solve_rounds(flows, source, start[i : i + step], field_pixels[i : i + step], seen[i : i + step], gaps)
        for i in range(0, count, step)
    ]
    return np.concatenate(parts) if parts else start


def fused_confidence(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """Confidence (P, T) in [0, 1]: half from the chain's accumulated error, half from its agreement with the field."""
    distance = np.linalg.norm(chained.pixels - field_pixels, axis=-1) / raster_scale(size)
    measured = chained.visible / (1 + chained.variance)
    agreement = 1 / (1 + (distance / AGREEMENT_PX) ** 2)
    return ((measured + agreement) / 2).astype(np.float32)


def _solve_rounds(
    flows: FlowSource, source: int, start: Array, prior: Array, seen: NDArray[np.bool_], gaps: Sequence[int]
) -> Array:
    pixels = start.astype(np.float32)
    for _ in range(ROUNDS):
        matrix, right = _priors(start[:, source], prior, source, raster_scale(flows.size))
        _add_hops(matrix, right, flows, pixels, seen, gaps)
        pixels = np.linalg.solve(matrix, right).astype(np.float32)
    return pixels


def _priors(query: Array, prior: Array, source: int, scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normal equations (P, T, T) and (P, T, 2) of everything but the hops."""
    num_frames = prior.shape[1]
    second = np.zeros((max(num_frames - 2, 0), num_frames))
    for row in range(len(second)):
        second[row, row : row + 3] = 1, -2, 1
    field_weight, smoothness = FIELD_WEIGHT / scale**2, SMOOTHNESS / scale**2
    shared = field_weight * np.eye(num_frames) + smoothness * second.T @ second
    shared[source, source] += QUERY_WEIGHT
    matrix = np.repeat(shared[None], len(prior), axis=0)
    right = field_weight * prior.astype(np.float64)
    right[:, source] += QUERY_WEIGHT * query
    return matrix, right


def _add_hops(
    matrix: NDArray[np.float64],
    right: NDArray[np.float64],
    flows: FlowSource,
    pixels: Array,
    seen: NDArray[np.bool_],
    gaps: Sequence[int],
) -> None:
    num_frames, scale = pixels.shape[1], raster_scale(flows.size)
    for k in range(num_frames):
        for j in (k + sign * gap for gap in gaps for sign in (1, -1)):
            if not 0 <= j < num_frames or not (flows.has(k, j) and flows.has(j, k)):
                continue
            both = seen[:, k] & seen[:, j]
            if not both.any():
                continue
            hop = take_hop(flows, k, j, pixels[:, k])
            step = (hop.pixels - pixels[:, k]).astype(np.float64)
            error = np.minimum(hop.cycle_error / scale, MAX_ERROR_PX)
            residual = np.linalg.norm(pixels[:, j] - hop.pixels, axis=-1) / scale
            weight = both / (MEASURED_PX**2 + error**2) / (1 + (residual / CAUCHY_PX) ** 2) / scale**2
            matrix[:, k, k] += weight
            matrix[:, j, j] += weight
            matrix[:, k, j] -= weight
            matrix[:, j, k] -= weight
            right[:, j] += weight[:, None] * step
            right[:, k] -= weight[:, None] * step
