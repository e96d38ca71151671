"""What a block of points goes through, compiled: products, rectifiers, planes of features, monotone maps.

All arrays of a block are (rows, BLOCK): a row is one feature of all points, so that every inner loop runs along the
points and fills the vector registers; with a few hundred bytes a point, all of it stays in the cache. A block that is
not full carries on with whatever is in its last points, which nobody reads.

Every function has its reference in torch: `omnitrack.motion.conditioner`, `encoding`, `spline` and `affine`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.motion.affine import LARGEST_LOG_SCALE
from omnitrack.motion.fused.compiling import compiled, inlined, summing
from omnitrack.motion.spline import LEAST_SHARE

BLOCK = 128  # points: enough for long inner loops, few enough for the second cache
LEAK = np.float32(0.01)  # slope of the rectifier left of zero, as torch has it

Array = NDArray[Any]

LOG2_E = np.float32(1.44269504)
LN2_HIGH, LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2, the first in few bits
E0, E1, E2, E3, E4, E5 = (  # e^r = 1 + r + r^2 (...) for |r| <= ln 2 / 2, to 2e-7 (Cephes' expf)
    np.float32(c)
    for c in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
)
ONE, HALF, TWO = np.float32(1), np.float32(0.5), np.float32(2)
LEAST_X, MOST_X = np.float32(-87), np.float32(88)
LEAST_WIDTH, WIDTH_RANGE = np.float32(LEAST_SHARE / 2), np.float32(1 - LEAST_SHARE)
LARGEST = np.float32(LARGEST_LOG_SCALE)


@inlined
def exp(x: float) -> float:
    """e^x to 2e-7 of itself, in a form that compilers turn into vector instructions."""
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
    """In place."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            rows[row, p] = ONE / (ONE + exp(-rows[row, p]))


@compiled
def leaky_rows(rows: Array) -> None:
    """The leaky rectifier, in place."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            value = rows[row, p]
            rows[row, p] = value if value > 0 else LEAK * value


@compiled
def leaky_backward_rows(rows: Array, gradient: Array) -> None:
    """From what came out of the rectifier; the gradient in place."""
    for row in range(rows.shape[0]):
        for p in range(BLOCK):
            gradient[row, p] = gradient[row, p] if rows[row, p] > 0 else LEAK * gradient[row, p]


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


# --- planes of features -----------------------------------------------------------------------------------------
@compiled
def cell_of(x: float, side: int) -> tuple[int, float]:
    """The cell left of x in [-1, 1] on a grid of `side` nodes, and how far x is into it; also where x is NaN."""
    along = (x + ONE) * HALF * np.float32(side - 1)
    cell = np.int64(along)
    cell = side - 2 if cell > side - 2 else cell
    cell = 0 if cell < 0 else cell
    return cell, along - np.float32(cell)


@compiled
def read_planes(planes: Array, sides: Array, x: Array, y: Array, features: Array) -> None:
    """Features (planes x C, BLOCK) read bilinearly at x, y in [-1, 1] from planes (cells, C), one after the other."""
    channels, first = planes.shape[1], 0
    value = np.empty(channels, np.float32)
    for plane in range(len(sides)):
        side = sides[plane]
        for p in range(BLOCK):
            column, right = cell_of(x[p], side)
            row, below = cell_of(y[p], side)
            cell = first + row * side + column
            w00, w01 = (ONE - right) * (ONE - below), right * (ONE - below)
            w10, w11 = (ONE - right) * below, right * below
            for c in range(channels):
                value[c] = (
                    w00 * planes[cell, c]
                    + w01 * planes[cell + 1, c]
                    + w10 * planes[cell + side, c]
                    + w11 * planes[cell + side + 1, c]
                )
            for c in range(channels):
                features[plane * channels + c, p] = value[c]
        first += side * side


@summing
def read_planes_backward(
    planes: Array,
    sides: Array,
    x: Array,
    y: Array,
    gradient: Array,
    by_point: Array,
    x_gradient: Array,
    y_gradient: Array,
) -> None:
    """The gradient of x and y (BLOCK), and the gradient of the features turned to (points, planes x C)."""
    channels, first = planes.shape[1], 0
    x_gradient[:] = y_gradient[:] = np.float32(0)
    for p in range(len(by_point)):
        for row in range(gradient.shape[0]):
            by_point[p, row] = gradient[row, p]
    for plane in range(len(sides)):
        side = sides[plane]
        for p in range(len(by_point)):
            column, right = cell_of(x[p], side)
            row, below = cell_of(y[p], side)
            cell, begin = first + row * side + column, plane * channels
            across = down = np.float32(0)
            for c in range(channels):
                g = by_point[p, begin + c]
                v00, v01 = planes[cell, c], planes[cell + 1, c]
                v10, v11 = planes[cell + side, c], planes[cell + side + 1, c]
                across += g * ((v01 - v00) * (ONE - below) + (v11 - v10) * below)
                down += g * ((v10 - v00) * (ONE - right) + (v11 - v01) * right)
            scale = HALF * np.float32(side - 1)
            x_gradient[p] += across * scale
            y_gradient[p] += down * scale
        first += side * side


@compiled
def add_to_plane(gradient: Array, places: Array, first: int, side: int, begin: int, channels: int, out: Array) -> None:
    """Add the gradients of points to one plane: what `read_planes` read, weighted alike.

    Args:
        gradient: (P, planes x C) of the features.
        places: (2, P) where they were read.
        first: The plane's first cell.
        side: Its nodes a side.
        begin: Its first feature.
        channels: C.
        out: (cells, C), the gradient of all planes.
    """
    for p in range(gradient.shape[0]):
        column, right = cell_of(places[0, p], side)
        row, below = cell_of(places[1, p], side)
        cell = first + row * side + column
        w00, w01 = (ONE - right) * (ONE - below), right * (ONE - below)
        w10, w11 = (ONE - right) * below, right * below
        for c in range(channels):
            g = gradient[p, begin + c]
            out[cell, c] += w00 * g
            out[cell + 1, c] += w01 * g
            out[cell + side, c] += w10 * g
            out[cell + side + 1, c] += w11 * g


# --- monotone maps ----------------------------------------------------------------------------------------------
@inlined
def width(share: float) -> float:
    """Width or height of a piece, or half a slope."""
    return LEAST_WIDTH + WIDTH_RANGE * share


@inlined
def spline_point(
    shares: Array, x: int, y: int, inverse: bool, p: int, q: float
) -> tuple[float, float, float, float, float, float]:
    """Value, slope, and weights of the four knots at one point: the value is made of the knots and the slope beyond.

    The value is sum_k c_k (y_k + slope (q - x_k)), the slope that of the piece that q is on.
    """
    a0, a1, a2, a3 = width(shares[x, p]), width(shares[x + 1, p]), width(shares[x + 2, p]), width(shares[x + 3, p])
    b0, b1, b2, b3 = width(shares[y, p]), width(shares[y + 1, p]), width(shares[y + 2, p]), width(shares[y + 3, p])
    left, right = TWO * width(shares[8, p]), TWO * width(shares[9, p])
    left, right = (ONE / left, ONE / right) if inverse else (left, right)
    x0, x1, x2, x3 = -(a0 + a1), -a1, a2, a2 + a3
    y0, y1, y2, y3 = -(b0 + b1), -b1, b2, b2 + b3
    before, first, second, third = q < x0, (q >= x0) & (q < x1), (q >= x1) & (q < x2), (q >= x2) & (q < x3)
    slope = right
    slope = left if before else slope
    slope = b0 / a0 if first else slope
    slope = (b1 + b2) / (a1 + a2) if second else slope
    slope = b3 / a3 if third else slope
    t = np.float32(0)
    t = (q - x0) / a0 if first else t
    t = (q - x1) / (a1 + a2) if second else t
    t = (q - x2) / a3 if third else t
    zero = np.float32(0)
    c0 = ONE if before else (ONE - t if first else zero)
    c1 = t if first else (ONE - t if second else zero)
    c2 = t if second else (ONE - t if third else zero)
    c3 = t if third else zero
    c3 = c3 if (before or first or second or third) else ONE
    beyond = x0 if before else x3
    start = y0 if before else y3
    start = y0 if first else start
    beyond = x0 if first else beyond
    start = y1 if second else start
    beyond = x1 if second else beyond
    start = y2 if third else start
    beyond = x2 if third else beyond
    return start + slope * (q - beyond), slope, c0, c1, c2, c3


@compiled
def spline_rows(shares: Array, inverse: bool, q: Array, out: Array) -> None:
    """The spline of `omnitrack.motion.spline` from the sigmoids (10, BLOCK) of its numbers; or its inverse."""
    x, y = (4, 0) if inverse else (0, 4)
    for p in range(BLOCK):
        out[p], _, _, _, _, _ = spline_point(shares, x, y, inverse, p, q[p])


@compiled
def spline_backward_rows(shares: Array, inverse: bool, q: Array, gradient: Array, shares_gradient: Array) -> None:
    """Turn the gradient of values (BLOCK) into that of q, in place, and of the numbers before their sigmoids.

    A knot (x_k, y_k) moves the value by c_k dy_k - slope c_k dx_k; the slope beyond the outer knots by the distance.
    """
    x, y = (4, 0) if inverse else (0, 4)
    zero = np.float32(0)
    for p in range(BLOCK):
        g = gradient[p]
        _, slope, c0, c1, c2, c3 = spline_point(shares, x, y, inverse, p, q[p])
        left = min(q[p] + width(shares[x, p]) + width(shares[x + 1, p]), zero)  # behind the outer knots
        right = max(q[p] - width(shares[x + 2, p]) - width(shares[x + 3, p]), zero)
        turn = -slope * slope if inverse else ONE  # of 1 / slope
        gradient[p] = slope * g
        c0, c1, c2, c3 = c0 * g, c1 * g, c2 * g, c3 * g
        shares_gradient[x, p], shares_gradient[x + 1, p] = slope * c0, slope * (c0 + c1)
        shares_gradient[x + 2, p], shares_gradient[x + 3, p] = -slope * (c2 + c3), -slope * c3
        shares_gradient[y, p], shares_gradient[y + 1, p] = -c0, -(c0 + c1)
        shares_gradient[y + 2, p], shares_gradient[y + 3, p] = c2 + c3, c3
        shares_gradient[8, p], shares_gradient[9, p] = TWO * g * left * turn, TWO * g * right * turn
    for row in range(10):
        for p in range(BLOCK):
            s = shares[row, p]
            shares_gradient[row, p] *= WIDTH_RANGE * s * (ONE - s)


@compiled
def affine_rows(numbers: Array, inverse: bool, q: Array, out: Array) -> None:
    """The map of `omnitrack.motion.affine` from its log scale and shift (2, BLOCK); or its inverse."""
    for p in range(BLOCK):
        log_scale = min(max(numbers[0, p], -LARGEST), LARGEST)
        shift = numbers[1, p]
        out[p] = q[p] * exp(log_scale) + shift if inverse else (q[p] - shift) * exp(-log_scale)


@compiled
def affine_backward_rows(numbers: Array, inverse: bool, q: Array, gradient: Array, numbers_gradient: Array) -> None:
    """Turn the gradient of values (BLOCK) into that of q, in place, and of the log scale and shift."""
    for p in range(BLOCK):
        g, raw = gradient[p], numbers[0, p]
        log_scale = min(max(raw, -LARGEST), LARGEST)
        within = ONE if (raw >= -LARGEST) & (raw <= LARGEST) else np.float32(0)
        scale = exp(log_scale) if inverse else exp(-log_scale)
        gradient[p] = g * scale
        value = q[p] * scale if inverse else -(q[p] - numbers[1, p]) * scale
        numbers_gradient[0, p] = g * value * within
        numbers_gradient[1, p] = g if inverse else -g * scale
