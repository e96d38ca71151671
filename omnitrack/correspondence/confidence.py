"""How sure a fused track is: calibrated, so that of places with confidence c a share c is right.

Right is: the point is seen there in truth, and within 4 px at 256 x 256. A logistic function of what is known, fitted
to the truth of nine development clips of DAVIS, the demo, and a wall and a plate without texture, all weighing alike
(`tests/benchmarks/confidence.py`, 2026-11-28; its HISTORY.md says which fits). Mean difference of confidence and share
in ten bins, all places pooled, each clip by weights fitted to the others: 0.023.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import Array

WEIGHTS = {"base": -3.329, "chain": 2.838, "agreement": 1.193, "likeness": 1.220, "texture": 0.431, "seen": 0.900}
LIKENESS_RANGE = (-1.0, 0.75)
MOST_HIDDEN = 0.5  # more would say that the point is seen after all


@dataclass(frozen=True)
class Cues:
    """What is known of P points in T frames.

    Attributes:
        chain: (P, T) confidence of the chained flow.
        agreement: (P, T) of field and chain (`omnitrack.correspondence.agreement.agreement`).
        likeness: (P, T) of appearance (`omnitrack.correspondence.track_appearance.PointAppearance.likeness`).
        texture: (P, T) of the places that the points are said to be in
            (`omnitrack.correspondence.appearance.Patches.texture`): where there is none, nothing tells whether
            a track slides.
        visible: (P, T) whether the points are called seen.
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
    """The probability (P, T) that points are seen and in their place.

    It agrees with what is called seen: the weights leave a seen point no less than 0.02, whatever else is known, and a
    hidden one has at most `MOST_HIDDEN`.
    """
    odds = sum(weight * term for weight, term in zip(WEIGHTS.values(), cues.terms(), strict=True))
    most = np.where(cues.visible, 1, MOST_HIDDEN)
    return np.asarray(np.minimum(1 / (1 + np.exp(-odds)), most), np.float32)
