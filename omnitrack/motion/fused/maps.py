"""The monotone maps of the line for a block of points, compiled: forward and backward.

The references are `omnitrack.motion.spline` and `omnitrack.motion.affine`.
"""

from __future__ import annotations

import numpy as np

from omnitrack.compiling import compiled, inlined
from omnitrack.motion.affine import LARGEST_LOG_SCALE
from omnitrack.motion.fused.blocks import BLOCK, ONE, TWO, Array, exp
from omnitrack.motion.spline import LEAST_SHARE

LEAST_WIDTH, WIDTH_RANGE = np.float32(LEAST_SHARE / 2), np.float32(1 - LEAST_SHARE)
LARGEST = np.float32(LARGEST_LOG_SCALE)


@inlined
def width(share: float) -> float:
    """Width or height of a piece, or half a slope."""
    return LEAST_WIDTH + WIDTH_RANGE * share


@inlined
def spline_point(
    shares: Array, x: int, y: int, inverse: bool, p: int, q: float
) -> tuple[float, float, float, float, float, float]:
    """Value, slope, and weights of the four knots at one point.

    The value is sum_k c_k (y_k + slope (q - x_k)), with the slope of the piece that contains q.
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
    """The spline of `omnitrack.motion.spline` from the sigmoids (10, BLOCK) of its parameters, or its inverse."""
    x, y = (4, 0) if inverse else (0, 4)
    for p in range(BLOCK):
        out[p], _, _, _, _, _ = spline_point(shares, x, y, inverse, p, q[p])


@compiled
def spline_backward_rows(shares: Array, inverse: bool, q: Array, gradient: Array, shares_gradient: Array) -> None:
    """Turn the gradient of values (BLOCK) into those of q, in place, and of the parameters before their sigmoids.

    A knot (x_k, y_k) moves the value by c_k dy_k - slope c_k dx_k; an outer slope, by the distance to its knot.
    """
    x, y = (4, 0) if inverse else (0, 4)
    zero = np.float32(0)
    for p in range(BLOCK):
        g = gradient[p]
        _, slope, c0, c1, c2, c3 = spline_point(shares, x, y, inverse, p, q[p])
        left = min(q[p] + width(shares[x, p]) + width(shares[x + 1, p]), zero)  # distances beyond the outer knots
        right = max(q[p] - width(shares[x + 2, p]) - width(shares[x + 3, p]), zero)
        turn = -slope * slope if inverse else ONE  # derivative of 1 / slope
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
    """The map of `omnitrack.motion.affine` from its log scale and shift (2, BLOCK), or its inverse."""
    for p in range(BLOCK):
        log_scale = min(max(numbers[0, p], -LARGEST), LARGEST)
        shift = numbers[1, p]
        out[p] = q[p] * exp(log_scale) + shift if inverse else (q[p] - shift) * exp(-log_scale)


@compiled
def affine_backward_rows(numbers: Array, inverse: bool, q: Array, gradient: Array, numbers_gradient: Array) -> None:
    """Turn the gradient of values (BLOCK) into those of q, in place, and of the log scale and shift."""
    for p in range(BLOCK):
        g, raw = gradient[p], numbers[0, p]
        log_scale = min(max(raw, -LARGEST), LARGEST)
        within = ONE if (raw >= -LARGEST) & (raw <= LARGEST) else np.float32(0)
        scale = exp(log_scale) if inverse else exp(-log_scale)
        gradient[p] = g * scale
        value = q[p] * scale if inverse else -(q[p] - numbers[1, p]) * scale
        numbers_gradient[0, p] = g * value * within
        numbers_gradient[1, p] = g if inverse else -g * scale
