"""Fusion of a fitted field and the measured flow around a track: the field's order and reach, the flow's precision.

Where the field agrees with the chained flow around a frame, it is trusted: it carries the point through frames that the
chain does not reach. Elsewhere the chain is used. For each point, the positions x_t in all T frames then minimise

    sum_hops w |x_j - x_k - F_kj(x_k)|^2  +  sum_trusted v |x_{t+1} - x_t - (f_{t+1} - f_t)|^2 + u_t |x_t - f_t|^2
      + sum_untrusted p_t |x_t - c_t|^2  +  a sum_t |x_{t-1} - 2 x_t + x_{t+1}|^2

over all measured hops k -> j between frames in which the point is visible, with f the field's track, c the chain's
track, and x fixed at the query and at pins (`anchors.py`). u is larger where field and chain are close to each other,
and where chains drift (`agreement.position_weight`). Where a lost point was found again by its appearance, the chain is
known to a pixel, and better than the field, most of whose chains had lost it: there p is larger, even in trusted
frames, and u is 0.
The weight of a hop is w = 1 / (s^2 + e^2), e its cycle error, and less where the hop disagrees with the track (Cauchy).
Hops are measured again at the new positions a few times, each time with one solve per point (`normal_equations.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chained_tracks import ChainedTrack
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.normal_equations import BandedEquations, DenseEquations, Equations
from omnitrack.correspondence.raster import Array, lengths
from omnitrack.units import raster_scale

# All lengths at 256 x 256, all weights in 1 / px^2 there.
MEASURED_PX = 0.2  # standard deviation of a hop without cycle error
CAUCHY_PX = 0.5  # disagreement of a hop with the track at which the hop has half its weight
FIELD_WEIGHT = 5.0  # of the field's motion from frame to frame
POSITION_WEIGHT = 1.0  # ... and of its position, times `Expected.field_weight`
CHAIN_WEIGHT = 0.02  # of the chain's position
FOUND_WEIGHT = 1.0  # ... where the point was found again: known to a pixel, and no hop from before its loss is right
SMOOTHNESS = 0.04  # of the acceleration
KNOWN_WEIGHT = 1e6  # keeps queries and pins fixed
MAX_ERROR_PX = 20.0
ROUNDS = 3
SOLVE_FLOATS = 1 << 24  # elements of the matrices solved at once: bounds the memory
DENSE_FRAMES = 256  # longer clips keep only a band of the matrix
WIDEST_BAND = 32  # frames: longer hops pull at each end separately (`BandedEquations`)


@dataclass(frozen=True)
class Expected:
    """Estimates for P points in T frames before the hops are measured.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, T, 2) float32, positions according to the chain or the field.
        field_pixels: (P, T, 2) positions according to the field.
        field_weight: (P, T) weight of the field's positions, where the field is trusted.
        motion: (P, T - 1, 2) the field's motion from each frame to the next.
        trusted: (P, T) bool, where the field may be followed.
        seen: (P, T) bool, where flow is measured.
        known: (P, T) bool, where positions are fixed: queries and pins.
        found_again: (P, T) bool, where appearance confirms the chain's positions.
    """

    pixels: Array
    field_pixels: Array
    field_weight: NDArray[np.float64]
    motion: NDArray[np.float64]
    trusted: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    known: NDArray[np.bool_]
    found_again: NDArray[np.bool_]

    @staticmethod
    def of(
        chained: ChainedTrack,
        field_pixels: Array,
        field_weight: NDArray[np.float64],
        motion: NDArray[np.float64],
        trusted: NDArray[np.bool_],
        measurable: NDArray[np.bool_],
        known: NDArray[np.bool_],
    ) -> Expected:
        """Combine a chain and a field.

        Args:
            chained: The measured tracks of P points.
            field_pixels: (P, T, 2) the field's tracks.
            field_weight: See the attribute.
            motion: See the attribute.
            trusted: See the attribute.
            measurable: (P, T) bool, where flow is measured if the field is trusted, even if the chain is not visible.
            known: See the attribute.
        """
        places = likely_places(chained, field_pixels, trusted)
        seen = chained.visible | (trusted & measurable)
        return Expected(places, field_pixels, field_weight, motion, trusted, seen, known, chained.found_again)

    def part(self, rows: slice) -> Expected:
        """The estimates for some of the points."""
        return Expected(*(getattr(self, field.name)[rows] for field in fields(self)))


def likely_places(chained: ChainedTrack, field_pixels: Array, trusted: NDArray[np.bool_]) -> Array:
    """Likely positions (P, T, 2) of points: those of the chain, or of the field where only that may be followed."""
    by_chain = chained.visible | ~trusted
    return np.asarray(np.where(by_chain[..., None], chained.pixels, field_pixels), np.float32)


def fuse_positions(flows: FlowSource, expected: Expected, gaps: Sequence[int]) -> Array:
    """Positions that agree best with the measured hops, the field where it is trusted, and the chain elsewhere.

    Args:
        flows: Pairwise flow.
        expected: Estimates for P points.
        gaps: Lengths of the hops.

    Returns:
        (P, T, 2) float32 pixels.
    """
    num_frames, width = expected.trusted.shape[1], min(max(2, *gaps), WIDEST_BAND)
    banded = num_frames > DENSE_FRAMES
    step = max(1, SOLVE_FLOATS // (3 * num_frames * (width + 1) if banded else num_frames**2))
    fused = expected.pixels.copy()
    for first in range(0, len(fused), step):
        rows = slice(first, first + step)
        part = expected.part(rows)
        shape = len(part.pixels), num_frames, SMOOTHNESS
        empty: Equations = BandedEquations.smooth(*shape, width) if banded else DenseEquations.smooth(*shape)
        priors = _priors(empty, part, raster_scale(flows.size))
        for _ in range(ROUNDS):
            fused[rows] = _solve(priors, flows, fused[rows], part.seen, gaps)
    return fused


def _priors(equations: Equations, expected: Expected, scale: float) -> Equations:
    """Normal equations of everything but the hops."""
    trusted, found, start = expected.trusted, expected.found_again, expected.pixels
    frames = np.arange(trusted.shape[1])
    by_chain = np.where(found, np.float32(FOUND_WEIGHT), np.float32(CHAIN_WEIGHT) * ~trusted)
    equations.pull(frames, by_chain, start)
    follow = FIELD_WEIGHT * (trusted[:, 1:] & trusted[:, :-1]).astype(np.float64)
    for t in range(len(frames) - 1):
        equations.tie(t, t + 1, follow[:, t], expected.motion[:, t], start)
    equations.pull(frames, POSITION_WEIGHT * expected.field_weight * (trusted & ~found), expected.field_pixels)
    equations.pull(frames, np.float32(KNOWN_WEIGHT) * expected.known, start)
    return equations.divided(scale**2)


def _solve(
    priors: Equations, flows: FlowSource, pixels: Array, seen: NDArray[np.bool_], gaps: Sequence[int]
) -> NDArray[np.float64]:
    """One round: measure all hops at `pixels` (P, T, 2), and solve."""
    equations = priors.copy()
    num_frames, scale = pixels.shape[1], raster_scale(flows.size)
    for k in range(num_frames):
        near = [k + sign * gap for gap in gaps for sign in (1, -1)]
        for j in (*near, *(partner for partner in flows.partners(k) if partner not in near)):
            if not 0 <= j < num_frames or not (flows.has(k, j) and flows.has(j, k)):
                continue
            rows = np.flatnonzero(seen[:, k] & seen[:, j])
            hop = take_hop(flows, k, j, pixels[rows, k])
            error = np.minimum(hop.cycle_error / scale, MAX_ERROR_PX)
            residual = lengths(pixels[rows, j] - hop.pixels) / scale
            weight = np.zeros(len(pixels))
            weight[rows] = 1 / (MEASURED_PX**2 + error**2) / (1 + (residual / CAUCHY_PX) ** 2) / scale**2
            motion = np.zeros((len(pixels), 2))
            motion[rows] = hop.pixels - pixels[rows, k]
            equations.tie(k, j, weight, motion, pixels)
    return equations.solve()
