"""How sure a fused track is: calibrated, so that of places with confidence c a share c is right.

Right is: the point is seen there in truth, and within 4 px at 256 x 256. A logistic function of what is known, fitted
to the truth of five development clips of DAVIS, the demo and two synthetic walls without texture, all weighing alike
(400 steps, commit 08e5867). Mean difference of confidence and share in ten bins, on each clip without itself in the
fit: 0.047, where the mean of the chain's confidence and the agreement has 0.080; one clip of eight gets worse.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import Array

BASE, CHAIN, AGREEMENT, LIKENESS = -2.583, 2.285, 1.251, 0.952
SEEN, SEEN_TEXTURE, SEEN_CHAIN, SEEN_AGREEMENT = -0.632, 0.533, 0.526, 1.004  # added where the point is called seen
LIKENESS_RANGE = (-1.0, 0.75)


def calibrated_confidence(
    chain: Array, agreement: Array, likeness: Array, texture: Array, visible: NDArray[np.bool_]
) -> Array:
    """The probability (P, T) that points are seen and in their place.

    Args:
        chain: (P, T) confidence of the chained flow.
        agreement: (P, T) of field and chain (`omnitrack.correspondence.agreement.agreement`).
        likeness: (P, T) of appearance (`omnitrack.correspondence.track_appearance.PointAppearance.likeness`).
        texture: (P, T) of the point (`omnitrack.correspondence.appearance.PatchSimilarity.texture`): on a blank wall
            nothing tells whether a track slides.
        visible: (P, T) whether the point is called seen.
    """
    known = BASE + CHAIN * chain + AGREEMENT * agreement + LIKENESS * np.clip(likeness, *LIKENESS_RANGE)
    seen = SEEN + SEEN_TEXTURE * np.log2(1 + texture) + SEEN_CHAIN * chain + SEEN_AGREEMENT * agreement
    return np.asarray(1 / (1 + np.exp(-(known + visible * seen))), np.float32)
