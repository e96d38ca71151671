"""Where a fitted field and the chained flow agree, and what follows: trust, confidence, visibility.

The errors of hops accumulate, those of a field do not: the farther a frame is from the one in which the point is known,
the farther the chain may be from the field before the field is doubted (`chain_drift`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chained_tracks import ChainedTrack
from omnitrack.correspondence.raster import Array, lengths
from omnitrack.units import raster_scale

AGREEMENT_PX = 4.0  # distance between field and chain, at 256 x 256, at which their agreement is 1/2
AGREEMENT_FRAMES = 4.0  # over which the influence of an agreement falls to 1/e
REACH_FRAMES = 64  # ... and beyond which it is zero
TRUST_THRESHOLD = 0.5
KNOWN_EVIDENCE = 0.1  # weight of the agreement in the frame in which the point is known, where both are at the point
LEAST_EVIDENCE = 1e-4  # a mean over less is drawn to 0: what is known of one frame alone holds for 30
NEAR_FRAMES = 32  # within which a chain does not drift: a few hops span them
DRIFT = 3.0  # increase of `chain_drift` for every `NEAR_FRAMES` beyond
PRIOR_TRUST = 0.5  # weight of trusting the field without regard to the chain, for every `NEAR_FRAMES` beyond
POSITION_PX = 1.0  # distance between field and chain around a frame at which the field's position has half its weight
FARTHEST_PX = 20.0  # larger distances count as this one
SEEN_EVIDENCE = 1.5  # more than one cue can give, and less than two can


def agreement(chained: ChainedTrack, pixels: Array, size: tuple[int, int]) -> Array:
    """Agreement (P, T) of tracks (P, T, 2) with the chain: 1 at the same position, 1/2 `AGREEMENT_PX` away from it."""
    return np.asarray(_half_at(AGREEMENT_PX, _distance(chained, pixels, size)), np.float32)


def trusted_field(
    chained: ChainedTrack, field_pixels: Array, away: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Where the field may be followed: (P, T) bool, by its agreement with the visible chain around each frame.

    Where a point is known, field and chain agree by construction: that counts only if there is little else to go by.
    The field has lost a point that was found again elsewhere.

    Args:
        chained: Tracks of P points.
        field_pixels: (P, T, 2) the field's tracks.
        away: (P, T) or (T,) distance, in frames, to the frame in which a point is known.
        size: (width, height) of the frames in pixels.
    """
    within = _half_at(AGREEMENT_PX * chain_drift(away), _distance(chained, field_pixels, size))
    evidence = chained.confidence * np.where(away > 0, 1, KNOWN_EVIDENCE)
    agreed = _around(within, evidence, PRIOR_TRUST * _beyond(away))
    here = agreement(chained, field_pixels, size)
    return np.asarray((agreed > TRUST_THRESHOLD) & ~(chained.found_again & (here < TRUST_THRESHOLD)))


def position_weight(
    chained: ChainedTrack, field_pixels: Array, away: NDArray[np.int64], size: tuple[int, int]
) -> NDArray[np.float64]:
    """Weight (P, T) of the field's positions where it may be followed: 1 if it agrees with a chain that does not drift.

    Args:
        chained: Tracks of P points.
        field_pixels: (P, T, 2) the field's tracks.
        away: (P, T) distance, in frames, to the frame in which a point is known.
        size: (width, height) of the frames in pixels.
    """
    drift = chain_drift(away)
    nearer = FARTHEST_PX - np.minimum(_distance(chained, field_pixels, size), FARTHEST_PX)
    off = FARTHEST_PX - _around(nearer, chained.confidence)  # where the chain is not visible: the largest distance
    return np.asarray(drift / (1 + (off / (POSITION_PX * drift)) ** 2))


def chain_drift(away: NDArray[np.int64]) -> NDArray[np.float64]:
    """Error of a chain `away` frames from where the point is known, relative to its error near that frame."""
    return np.asarray(1 + DRIFT * _beyond(away))


def _beyond(away: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.maximum(0, away / NEAR_FRAMES - 1)


def _distance(chained: ChainedTrack, pixels: Array, size: tuple[int, int]) -> Array:
    """Distance (P, T) between tracks and the chain, in px at 256 x 256."""
    return np.asarray(lengths(chained.pixels - pixels) / raster_scale(size), np.float32)


def _half_at(px: NDArray[np.float64] | float, distance: NDArray[np.floating]) -> NDArray[np.floating]:
    """1 at a distance of 0, 1/2 at `px`."""
    return 1 / (1 + (distance / px) ** 2)


def _around(
    values: NDArray[np.floating], weight: NDArray[np.floating], prior: NDArray[np.floating] | float = 0.0
) -> NDArray[np.float64]:
    """The mean of values (P, T) around each frame, by their weights (P, T), and of 1 with weight `prior`."""
    return np.asarray((_spread(weight * values) + prior) / np.maximum(_spread(weight) + prior, LEAST_EVIDENCE))


def _spread(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spread each frame's value (P, T) to the frames around it, falling by a factor e per `AGREEMENT_FRAMES`."""
    away = np.arange(-REACH_FRAMES, REACH_FRAMES + 1)
    fall, alone = np.exp(-np.abs(away) / AGREEMENT_FRAMES), np.ones(1)
    spread = cv2.sepFilter2D(values.astype(np.float64), cv2.CV_64F, fall, alone, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(spread, np.float64)


def fused_confidence(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """Confidence (P, T) in [0, 1]: half the chain's own, half its agreement with the field."""
    return np.asarray((chained.confidence + agreement(chained, field_pixels, size)) / 2, np.float32)


def fused_visibility(
    chained: ChainedTrack,
    agreed: Array,
    field_visible: NDArray[np.bool_],
    pixels: Array,
    likeness: Array,
    size: tuple[int, int],
) -> NDArray[np.bool_]:
    """Where points are visible, (P, T) bool, by the sum of four cues.

    The field's depth gives 0 or 1, a visible chain as much as it agrees with the fused position, field and chain 0 to 1
    by their agreement, and appearance 0 where it just matches, less where it does not
    (`omnitrack.correspondence.track_appearance.PointAppearance.likeness`). A point that was found again is visible: its
    appearance has been checked, and the field knows less of it. A point is occluded, whatever the cues, where another
    object is visible at its position.

    Args:
        chained: Tracks of P points.
        agreed: (P, T) agreement of field and chain.
        field_visible: (P, T) whether the field's depth says so.
        pixels: (P, T, 2) fused positions.
        likeness: (P, T) in appearance, of the fused positions to the points.
        size: (width, height) of the frames in pixels.
    """
    by_chain = chained.visible * agreement(chained, pixels, size)
    evidence = field_visible + by_chain + agreed + likeness
    return np.asarray((evidence > SEEN_EVIDENCE) & ~chained.covered | chained.found_again)
