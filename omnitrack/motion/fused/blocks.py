"""Operations on a block of points, compiled: rectifiers and other functions of rows, and products.

All arrays of a block are (rows, BLOCK). A row is one feature of all points, so that every inner loop runs over the
points and fills the vector registers. With a few hundred bytes per point, a block stays in the cache. In a partial
block, the last points contain arbitrary values, which are never read.

The reference is `omnitrack.motion.conditioner`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import compiled, inlined, summing

BLOCK = 128  # points: enough for long inner loops, few enough for the second-level cache
LEAK = np.float32(0.01)  # slope of the rectifier left of zero, as in torch

Array = NDArray[Any]

LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2; the first has few bits
E0, E1, E2, E3, E4, E5 = (  # e^r = 1 + r + r^2 (...) for |r| <= ln 2 / 2, to 2e-7 (Cephes' expf)
    np.float32(c)
    for c in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)
LEAST_X, MOST_X = np.float32(-87), np.float32(88)


@inlined
def exp(x: float) -> float:
    """e^x with a relative error of 2e-7, in a form that compilers turn into vector instructions."""
    x = LEAST_X if x < LEAST_X else x
    x = MOST_X if x > MOST_X else x
    n = np.float32(math.floor(x * LOG2_E + HALF))
    r = x - n * LN2_HIGH - n * LN2_LOW
    power = ((((E5 * r + E4) * r + E3) * r + E2) * r + E1) * r + E0
    power = power * r * r + r + ONE
    return power * np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)


@compiled
def tanh_row(x: Array, out: Array) -> None:
    """Hyperbolic tangents of a row."""
    for p in range(BLOCK):
        e = exp(-TWO * abs(x[p]))
        t = (ONE - e) / (ONE + e)
        out[p] = -t if x[p] < 0 else t


@compiled
def sigmoid_rows(rows: Array) -> None:
    """The sigmoid, in place."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            rows[row, p] = ONE / (ONE + exp(-rows[row, p]))


@compiled
def leaky_rows(rows: Array) -> None:
    """The leaky rectifier, in place."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            rows[row, p] *= ONE if rows[row, p] > 0 else LEAK


@compiled
def leaky_backward_rows(rows: Array, gradient: Array) -> None:
    """The gradient of the leaky rectifier, in place, from its output `rows`."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            gradient[row, p] *= ONE if rows[row, p] > 0 else LEAK


# --- products ---------------------------------------------------------------------------------------------------
@compiled
def add_product(matrix: Array, x: Array, out: Array) -> None:
    """out (J, BLOCK) += matrix (J, I) x (I, BLOCK): four rows of the result at a time, by four of x."""
    many, inner = out.shape[0], x.shape[0]
    fours, rest = many - many % 4, inner - inner % 4
    for j in range(0, fours, 4):
        k, l, m = j + 1, j + 2, j + 3  # noqa: E741
        for i in range(0, rest, 4):
            a0, a1, a2, a3 = matrix[j, i], matrix[j, i + 1], matrix[j, i + 2], matrix[j, i + 3]
            b0, b1, b2, b3 = matrix[k, i], matrix[k, i + 1], matrix[k, i + 2], matrix[k, i + 3]
            c0, c1, c2, c3 = matrix[l, i], matrix[l, i + 1], matrix[l, i + 2], matrix[l, i + 3]
            d0, d1, d2, d3 = matrix[m, i], matrix[m, i + 1], matrix[m, i + 2], matrix[m, i + 3]
            for p in range(BLOCK):
                x0, x1, x2, x3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                out[j, p] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                out[k, p] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                out[l, p] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                out[m, p] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3
        for i in range(rest, inner):
            for row in range(j, j + 4):
                for p in range(BLOCK):
                    out[row, p] += matrix[row, i] * x[i, p]
    for j in range(fours, many):
        for i in range(0, rest, 4):
            a0, a1, a2, a3 = matrix[j, i], matrix[j, i + 1], matrix[j, i + 2], matrix[j, i + 3]
            for p in range(BLOCK):
                out[j, p] += a0 * x[i, p] + a1 * x[i + 1, p] + a2 * x[i + 2, p] + a3 * x[i + 3, p]
        for i in range(rest, inner):
            for p in range(BLOCK):
                out[j, p] += matrix[j, i] * x[i, p]


@summing
def add_outer(gradient: Array, x: Array, out: Array) -> None:
    """out (J, I) += gradient (J, BLOCK) x^T (BLOCK, I): two rows of the gradient at a time, by four of x."""
    many, inner = gradient.shape[0], x.shape[0]
    twos, rest = many - many % 2, inner - inner % 4
    for j in range(0, twos, 2):
        k = j + 1
        for i in range(0, rest, 4):
            s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = np.float32(0)
            for p in range(BLOCK):
                g, h = gradient[j, p], gradient[k, p]
                x0, x1, x2, x3 = x[i, p], x[i + 1, p], x[i + 2, p], x[i + 3, p]
                s0, s1, s2, s3 = s0 + g * x0, s1 + g * x1, s2 + g * x2, s3 + g * x3
                t0, t1, t2, t3 = t0 + h * x0, t1 + h * x1, t2 + h * x2, t3 + h * x3
            out[j, i] += s0
            out[j, i + 1] += s1
            out[j, i + 2] += s2
            out[j, i + 3] += s3
            out[k, i] += t0
            out[k, i + 1] += t1
            out[k, i + 2] += t2
            out[k, i + 3] += t3
    for j in range(many):
        for i in range(rest if j < twos else 0, inner):
            total = np.float32(0)
            for p in range(BLOCK):
                total += gradient[j, p] * x[i, p]
            out[j, i] += total


@summing
def add_sums(gradient: Array, out: Array) -> None:
    """out (J,) += the sums of gradient (J, BLOCK)."""
    for j in range(gradient.shape[0]):
        total = np.float32(0)
        for p in range(BLOCK):
            total += gradient[j, p]
        out[j] += total
