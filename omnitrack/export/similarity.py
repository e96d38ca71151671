"""The least-squares similarity transform between the positions of a set of points in two frames.

Source:
    Umeyama, Least-squares estimation of transformation parameters between two point patterns, PAMI 1991; in 2D
    it is one division of complex numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def similarities(points: NDArray[np.float64], known: NDArray[np.bool_], column: int) -> NDArray[np.float64]:
    """Fit the motion of the points from one frame to every other.

    Args:
        points: (N, T, 2).
        known: (N, T) bool: which points are used.
        column: The frame from which the maps start.

    Returns:
        (T, 4) rows (scale, angle in radians from x to y, x, y): p -> scale * turn(angle) p + (x, y). With one common
        point only the translation; NaN without common points.
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
