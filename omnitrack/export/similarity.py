"""The similarity between the places of a set of points in two frames, by least squares.

Source:
    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991; in the plane
    it is one division of complex numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def similarities(points: NDArray[np.float64], known: NDArray[np.bool_], column: int) -> NDArray[np.float64]:
    """How the points have moved since one frame.

    Args:
        points: (N, T, 2).
        known: (N, T) bool: which of them count.
        column: The frame that the maps are from.

    Returns:
        (T, 4) rows (scale, angle in radians from x to y, x, y): p -> scale * turn(angle) p + (x, y). Of one common
        point only the translation; NaN where there is none.
    """
    found = np.full((points.shape[1], 4), np.nan)
    complex_points = points[..., 0] + 1j * points[..., 1]
    for t in range(points.shape[1]):
        both = known[:, t] & known[:, column]
        if not both.any():
            continue
        before, after = complex_points[both, column], complex_points[both, t]
        centred = before - before.mean()
        spread = float((np.abs(centred) ** 2).sum())
        factor = (centred.conj() * (after - after.mean())).sum() / spread if spread > 0 else 1.0 + 0j
        shift = after.mean() - factor * before.mean()
        found[t] = np.abs(factor), np.angle(factor), shift.real, shift.imag
    return found
