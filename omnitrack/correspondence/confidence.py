"""Confidence of a fused track, calibrated: of the positions with confidence c, a share c is right.

A position is right if the point is visible in the ground truth, within 4 px at 256 x 256. The confidence is a logistic
function of several cues, fitted to the ground truth of nine development clips of DAVIS, the demo, and a wall and a
plate without texture, all weighted equally (`tests/benchmarks/confidence.py`, 2026-11-28; HISTORY.md there lists the
fits). Mean difference between confidence and share in ten bins, with all positions pooled and each clip evaluated by
weights fitted to the others: 0.023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import Array

WEIGHTS = {"base": -3.329, "chain": 2.838, "agreement": 1.193, "likeness": 1.220, "texture": 0.431, "seen": 0.900}
LIKENESS_RANGE = (-1.0, 0.75)
MOST_HIDDEN = 0.5  # a higher confidence would mean that the point is visible after all


@dataclass(frozen=True)
class Cues:
    """Cues for P points in T frames.

    Attributes:
        chain: (P, T) confidence of the chained flow.
        agreement: (P, T) of field and chain (`omnitrack.correspondence.agreement.agreement`).
        likeness: (P, T) of appearance (`omnitrack.correspondence.track_appearance.PointAppearance.likeness`).
        texture: (P, T) at the estimated positions of the points
            (`omnitrack.correspondence.appearance.Patches.texture`): without texture, nothing shows whether a track
            slides.
        visible: (P, T) whether the points are estimated to be visible.
    """

    chain: Array
    agreement: Array
    likeness: Array
    texture: Array
    visible: NDArray[np.bool_]

    def terms(self) -> tuple[Array, ...]:
        """The terms (P, T) of the log-odds, in the order of `WEIGHTS`."""
        alike, texture = np.clip(self.likeness, *LIKENESS_RANGE), np.sqrt(self.texture)
        return np.ones_like(self.chain), self.chain, self.agreement, alike, texture, self.visible.astype(np.float32)


def calibrated_confidence(cues: Cues) -> Array:
    """The probability (P, T) that points are visible and their positions right.

    It is consistent with the estimated visibility: the weights give a visible point at least 0.02, whatever the other
    cues, and an occluded point has at most `MOST_HIDDEN`.
    """
    odds = sum(weight * term for weight, term in zip(WEIGHTS.values(), cues.terms(), strict=True))
    most = np.where(cues.visible, 1, MOST_HIDDEN)
    return np.asarray(np.minimum(1 / (1 + np.exp(-odds)), most), np.float32)
