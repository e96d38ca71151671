"""Least squares over the positions of points in all frames, for many points at once.

    sum_i w_i |x_i - a_i|^2  +  sum_ij w_ij |x_j - x_i - m_ij|^2  +  s sum_i |x_{i-1} - 2 x_i + x_{i+1}|^2

as normal equations in x_0 ... x_{T-1}, the same for x and y: a T x T matrix or, for long clips, its non-zero band.
T^2 numbers per point are 8 MB at a thousand frames, a band of 17 is 136 kB.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]


class Equations(Protocol):
    """The normal equations of P points in T frames."""

    def pull(
        self, frame: int | NDArray[np.int64], weight: NDArray[np.floating] | float, place: NDArray[np.floating]
    ) -> None:
        """Add the term x_frame = place, with weight (P,) or (P, frames) and place (P, 2) or (P, frames, 2)."""

    def tie(
        self, k: int, j: int, weight: NDArray[np.floating], motion: NDArray[np.floating], now: NDArray[np.floating]
    ) -> None:
        """Add the term x_j - x_k = motion (P, 2), with weight (P,); `now` (P, T, 2) are positions near the solution."""

    def divided(self, number: float) -> Equations:
        """The same equations with all weights divided by a number."""

    def copy(self) -> Equations:
        """A copy that can be changed independently."""

    def solve(self) -> Numbers:
        """Solve for the positions (P, T, 2)."""


class DenseEquations:
    """Equations that store the whole matrix.

    Args:
        matrix: (P, T, T).
        right: (P, T, 2).
    """

    def __init__(self, matrix: Numbers, right: Numbers) -> None:
        self._matrix, self._right = matrix, right

    @classmethod
    def smooth(cls, count: int, num_frames: int, weight: float) -> DenseEquations:
        """The smoothness term alone, with weight `weight`."""
        second = np.diff(np.eye(num_frames), n=2, axis=0)  # rows 1, -2, 1
        return cls(np.repeat((weight * second.T @ second)[None], count, axis=0), np.zeros((count, num_frames, 2)))

    def pull(
        self, frame: int | NDArray[np.int64], weight: NDArray[np.floating] | float, place: NDArray[np.floating]
    ) -> None:
        self._matrix[:, frame, frame] += weight
        self._right[:, frame] += _times(weight, place)

    def tie(
        self, k: int, j: int, weight: NDArray[np.floating], motion: NDArray[np.floating], now: NDArray[np.floating]
    ) -> None:
        self._matrix[:, k, k] += weight
        self._matrix[:, j, j] += weight
        self._matrix[:, k, j] -= weight
        self._matrix[:, j, k] -= weight
        pull = weight[:, None] * motion
        self._right[:, j] += pull
        self._right[:, k] -= pull

    def divided(self, number: float) -> DenseEquations:
        return DenseEquations(self._matrix / number, self._right / number)

    def copy(self) -> DenseEquations:
        return DenseEquations(self._matrix.copy(), self._right.copy())

    def solve(self) -> Numbers:
        return np.asarray(np.linalg.solve(self._matrix, self._right), np.float64)


class BandedEquations:
    """Equations that store the band of the matrix around its diagonal.

    A tie between frames farther apart than the width of the band pulls each frame towards its position relative to the
    other one now: once the solution no longer changes from round to round, it is that of the whole matrix.

    Args:
        bands: (P, T, b + 1): element [:, i, d] is the one in row i + d and column i.
        right: (P, T, 2).
    """

    def __init__(self, bands: Numbers, right: Numbers) -> None:
        self._bands, self._right = bands, right

    @classmethod
    def smooth(cls, count: int, num_frames: int, weight: float, width: int) -> BandedEquations:
        """The smoothness term alone, with weight `weight`; `width` is b, at least 2."""
        bands = np.zeros((count, num_frames, width + 1))
        for row in range(num_frames - 2):  # each row 1, -2, 1 of the second differences, squared
            bands[:, row : row + 3, 0] += weight * np.array([1, 4, 1])
            bands[:, row : row + 2, 1] += weight * np.array([-2, -2])
            bands[:, row, 2] += weight
        return cls(bands, np.zeros((count, num_frames, 2)))

    def pull(
        self, frame: int | NDArray[np.int64], weight: NDArray[np.floating] | float, place: NDArray[np.floating]
    ) -> None:
        self._bands[:, frame, 0] += weight
        self._right[:, frame] += _times(weight, place)

    def tie(
        self, k: int, j: int, weight: NDArray[np.floating], motion: NDArray[np.floating], now: NDArray[np.floating]
    ) -> None:
        if abs(j - k) >= self._bands.shape[2]:
            self.pull(j, weight, now[:, k] + motion)
            self.pull(k, weight, now[:, j] - motion)
            return
        self._bands[:, k, 0] += weight
        self._bands[:, j, 0] += weight
        self._bands[:, min(j, k), abs(j - k)] -= weight
        pull = weight[:, None] * motion
        self._right[:, j] += pull
        self._right[:, k] -= pull

    def divided(self, number: float) -> BandedEquations:
        return BandedEquations(self._bands / number, self._right / number)

    def copy(self) -> BandedEquations:
        return BandedEquations(self._bands.copy(), self._right.copy())

    def solve(self) -> Numbers:
        """Solve by Cholesky decomposition along the band, column by column, for all points at once."""
        count, num_frames, wide = self._bands.shape
        width = wide - 1
        columns = np.concatenate([self._bands, np.zeros((count, width, wide))], 1)  # of A, overwritten by those of L
        columns[:, num_frames:, 0] = 1
        right = np.concatenate([self._right, np.zeros((count, width, 2))], 1)
        for j in range(num_frames):
            columns[:, j] /= np.sqrt(columns[:, j, :1])
            below = columns[:, j, 1:]
            for d in range(1, wide):  # column j + d: its rows j + d, j + d + 1, ... j + b
                columns[:, j + d, : wide - d] -= below[:, d - 1 : d] * below[:, d - 1 :]
            right[:, j] /= columns[:, j, :1]
            right[:, j + 1 : j + wide] -= below[..., None] * right[:, j : j + 1]
        for j in reversed(range(num_frames)):
            later = np.einsum("pd,pdc->pc", columns[:, j, 1:], right[:, j + 1 : j + wide])
            right[:, j] = (right[:, j] - later) / columns[:, j, :1]
        return right[:, :num_frames]


def _times(weight: NDArray[np.floating] | float, place: NDArray[np.floating]) -> NDArray[np.floating]:
    return weight * place if isinstance(weight, float) else weight[..., None] * place
