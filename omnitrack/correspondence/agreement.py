"""Where a fitted field and the chained flow agree, and what follows: trust, confidence, visibility."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.chained_tracks import ChainedTrack
from omnitrack.correspondence.raster import Array
from omnitrack.units import raster_scale

AGREEMENT_PX = 4.0  # distance of field and chain, at 256 x 256, at which their agreement is half
AGREEMENT_FRAMES = 4.0  # reach of an agreement in time
TRUST_THRESHOLD = 0.5
SEEN_EVIDENCE = 1.4  # more than one cue says, and less than two


def agreement(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> Array:
    """How near the field is to the chain: (P, T), 1 in the same place, 1/2 at `AGREEMENT_PX`."""
    distance = np.linalg.norm(chained.pixels - field_pixels, axis=-1) / raster_scale(size)
    return np.asarray(1 / (1 + (distance / AGREEMENT_PX) ** 2), np.float32)


def trusted_field(chained: ChainedTrack, field_pixels: Array, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Where the field may be followed: (P, T) bool, by its agreement with what the chain saw around each frame.

    Where a point was found again elsewhere, the field has lost it.
    """
    frames = np.arange(field_pixels.shape[1])
    reach = np.exp(-np.abs(frames[:, None] - frames[None]) / AGREEMENT_FRAMES)
    here = agreement(chained, field_pixels, size)
    agreed = (chained.confidence * here) @ reach
    agreed /= np.maximum(chained.confidence @ reach, 1e-3)
    return np.asarray((agreed > TRUST_THRESHOLD) & ~(chained.found_again & (here < TRUST_THRESHOLD)))


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
    """
    evidence = field_visible + chained.visible.astype(np.float32) + agreement(chained, field_pixels, size) + likeness
    return np.asarray((evidence > SEEN_EVIDENCE) | chained.found_again)
