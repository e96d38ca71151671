"""Where a fitted field and the chained flow agree, and what follows: trust, confidence, visibility.

Hops add up their errors and a field does not: the farther from where a point is known, the farther may a chain be off
that is no reason to doubt the field (`chain_drift`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chained_tracks import ChainedTrack
from omnitrack.correspondence.raster import Array, lengths
from omnitrack.units import raster_scale

AGREEMENT_PX = 4.0  # distance of field and chain, at 256 x 256, at which their agreement is half
AGREEMENT_FRAMES = 4.0  # reach of an agreement in time
REACH_FRAMES = 64  # ... beyond which it is nothing
TRUST_THRESHOLD = 0.5
NEAR_FRAMES = 32  # a chain does not drift within these: a few hops span them
DRIFT = 3.0  # times as far off, for every so many frames beyond
PRIOR_TRUST = 0.5  # confidence in the field without asking the chain, for every so many frames beyond
POSITION_PX = 1.0  # distance of field and chain around a frame at which the field's position counts half
FARTHEST_PX = 20.0  # distances beyond say nothing more
SEEN_EVIDENCE = 1.5  # more than one cue says, and less than two


def agreement(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """How near the field is to the chain: (P, T), 1 in the same place, 1/2 at `AGREEMENT_PX`."""
    return np.asarray(_half_at(AGREEMENT_PX, _distance(chained, field_pixels, size)), np.float32)


def trusted_field(
    chained: ChainedTrack, field_pixels: Array, away: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where the field may be followed: (P, T) bool, by its agreement with what the chain saw around each frame.

    Where a point was found again elsewhere, the field has lost it.

    Args:
        chained: Tracks of P points.
        field_pixels: (P, T, 2) the field's.
        away: (P, T) or (T,) frames to the one in which a point is known.
        size: (width, height) of the frames in pixels.
    """
    within = _half_at(AGREEMENT_PX * chain_drift(away), _distance(chained, field_pixels, size))
    agreed = _around(within, chained, PRIOR_TRUST * _beyond(away))
    here = agreement(chained, field_pixels, size)
    return np.asarray((agreed > TRUST_THRESHOLD) & ~(chained.found_again & (here < TRUST_THRESHOLD)))


def position_weight(
    chained: ChainedTrack, field_pixels: Array, away: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """How much the field's positions count, (P, T), where it may be followed: 1 where it agrees with a near chain.

    Args:
        chained: Tracks of P points.
        field_pixels: (P, T, 2) the field's.
        away: (P, T) frames to the one in which a point is known.
        size: (width, height) of the frames in pixels.
    """
    drift = chain_drift(away)
    nearer = FARTHEST_PX - np.minimum(_distance(chained, field_pixels, size), FARTHEST_PX)
    off = FARTHEST_PX - _around(nearer, chained)  # where the chain sees nothing: as far as can be
    return np.asarray(drift / (1 + (off / (POSITION_PX * drift)) ** 2))


def chain_drift(away: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many times farther off a chain may be so many frames from where a point is known, than near there."""
    return np.asarray(1 + DRIFT * _beyond(away))


def _beyond(away: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.maximum(0, away / NEAR_FRAMES - 1)


def _distance(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """(P, T) of field and chain, in px at 256 x 256."""
    return np.asarray(lengths(chained.pixels - field_pixels) / raster_scale(size), np.float32)


def _half_at(px: NDArray[np.float64] | float, distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 at a distance of 0, 1/2 at `px`."""
    return 1 / (1 + (distance / px) ** 2)


def _around(
    values: NDArray[np.floating], chained: ChainedTrack, prior: NDArray[np.floating] | float = 0.0
) -> NDArray[np.float64]:
    """The mean of values (P, T) around each frame by the chain's confidence, and 1 with that of the prior (P, T)."""
    sure = _spread(chained.confidence)
    return np.asarray((_spread(chained.confidence * values) + prior) / np.maximum(sure + prior, 1e-3))


def _spread(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """(P, T), each frame's value carried to those around it, e times less for every `AGREEMENT_FRAMES`."""
    away = np.arange(-REACH_FRAMES, REACH_FRAMES + 1)
    fall, alone = np.exp(-np.abs(away) / AGREEMENT_FRAMES), np.ones(1)
    spread = cv2.sepFilter2D(values.astype(np.float64), cv2.CV_64F, fall, alone, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(spread, np.float64)


def fused_confidence(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """Confidence (P, T) in [0, 1]: half the chain's own, half its agreement with the field."""
    return np.asarray((chained.confidence + agreement(chained, field_pixels, size)) / 2, np.float32)


def fused_visibility(
    chained: ChainedTrack,
    field_pixels: Array,
    field_visible: NDArray[np.bool_],
    likeness: Array,
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Where points are seen, (P, T) bool, by what four cues say together.

    The field's depth and the chained flow say 0 or 1, their agreement on the place from 0 to 1, and appearance 0 where
    a point is just alike, less where it is not (`omnitrack.correspondence.track_appearance.PointAppearance.likeness`).
    Where a point was found again its looks have been asked, and the field, fitted to what had lost it, is not.
    Where another thing is seen in its place it is hidden, whatever they say.
    """
    evidence = field_visible + chained.visible.astype(np.float32) + agreement(chained, field_pixels, size) + likeness
    return np.asarray((evidence > SEEN_EVIDENCE) & ~chained.covered | chained.found_again)
