"""The monotone maps of the line for a block of points on a GPU, in Triton: forward and backward.

The parameters of a block's maps are one tile (points, padded numbers), from which a sum picks a column. The references
are `omnitrack.motion.spline` and `omnitrack.motion.affine`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnitrack.motion import affine, spline

LEAST_WIDTH, WIDTH_RANGE = tl.constexpr(spline.LEAST_SHARE / 2), tl.constexpr(1 - spline.LEAST_SHARE)
LARGEST = tl.constexpr(affine.LARGEST_LOG_SCALE)
SPLINE_NUMBERS = tl.constexpr(spline.NUM_PARAMETERS)  # an affine map has two


@triton.jit
def map_points(
    numbers: tl.tensor, index: tl.tensor, q: tl.tensor, inverse: tl.constexpr, many: tl.constexpr
) -> tl.tensor:
    """Values (points,) at q of the maps with parameters `numbers`, or of their inverses.

    Args:
        numbers: (points, padded numbers) parameters; of splines, their sigmoids.
        index: (padded numbers,) index of each column.
        q: (points,) coordinates.
        inverse: Apply the inverses.
        many: Number of parameters of a map.
    """
    if many == SPLINE_NUMBERS:
        value, _, _, _, _, _, _, _ = spline_points(numbers, index, q, inverse)
    else:
        log_scale = tl.minimum(tl.maximum(pick(numbers, index, 0), -LARGEST), LARGEST)
        shift = pick(numbers, index, 1)
        value = q * tl.exp(log_scale) + shift if inverse else (q - shift) * tl.exp(-log_scale)
    return value


@triton.jit
def map_points_backward(
    numbers: tl.tensor, index: tl.tensor, q: tl.tensor, g: tl.tensor, inverse: tl.constexpr, many: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Turn the gradient g (points,) of the values into those of q and of raw parameters (points, padded numbers)."""
    if many == SPLINE_NUMBERS:
        back, raw = _spline_backward(numbers, index, q, g, inverse)
    else:
        back, raw = _affine_backward(numbers, index, q, g, inverse)
    return back, raw


@triton.jit
def spline_points(
    shares: tl.tensor, index: tl.tensor, q: tl.tensor, inverse: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Value, slope, weights of the four knots, and x of the first and the last knot, at each point.

    The value is sum_k c_k (y_k + slope (q - x_k)), with the slope of the piece that contains q.
    """
    x: tl.constexpr = 4 if inverse else 0  # indices of the first width and height
    y: tl.constexpr = 0 if inverse else 4
    a0, a1, a2, a3 = (
        _width(shares, index, x),
        _width(shares, index, x + 1),
        _width(shares, index, x + 2),
        _width(shares, index, x + 3),
    )
    b0, b1, b2, b3 = (
        _width(shares, index, y),
        _width(shares, index, y + 1),
        _width(shares, index, y + 2),
        _width(shares, index, y + 3),
    )
    left, right = 2.0 * _width(shares, index, 8), 2.0 * _width(shares, index, 9)
    if inverse:
        left, right = 1.0 / left, 1.0 / right
    x0, x1, x2, x3 = -(a0 + a1), -a1, a2, a2 + a3
    y0, y1, y2, y3 = -(b0 + b1), -b1, b2, b2 + b3
    before, first, second, third = q < x0, (q >= x0) & (q < x1), (q >= x1) & (q < x2), (q >= x2) & (q < x3)
    within = first | second | third
    slope = tl.where(before, left, right)
    slope = tl.where(first, b0 / a0, slope)
    slope = tl.where(second, (b1 + b2) / (a1 + a2), slope)
    slope = tl.where(third, b3 / a3, slope)
    t = tl.where(first, (q - x0) / a0, tl.where(second, (q - x1) / (a1 + a2), (q - x2) / a3))
    t = tl.where(within, t, 0.0)
    c0 = tl.where(before, 1.0, tl.where(first, 1.0 - t, 0.0))
    c1 = tl.where(first, t, tl.where(second, 1.0 - t, 0.0))
    c2 = tl.where(second, t, tl.where(third, 1.0 - t, 0.0))
    c3 = tl.where(before | within, tl.where(third, t, 0.0), 1.0)
    start_x = tl.where(before | first, x0, tl.where(second, x1, tl.where(third, x2, x3)))
    start_y = tl.where(before | first, y0, tl.where(second, y1, tl.where(third, y2, y3)))
    return start_y + slope * (q - start_x), slope, c0, c1, c2, c3, x0, x3


@triton.jit
def pick(tile: tl.tensor, index: tl.tensor, column: tl.constexpr) -> tl.tensor:
    """Pick one column of a tile."""
    return tl.sum(tl.where(index[None, :] == column, tile, 0.0), 1)


@triton.jit
def _width(shares: tl.tensor, index: tl.tensor, column: tl.constexpr) -> tl.tensor:
    """Width or height of a piece, or half a slope."""
    return LEAST_WIDTH + WIDTH_RANGE * pick(shares, index, column)


@triton.jit
def _put(tile: tl.tensor, index: tl.tensor, column: tl.constexpr, values: tl.tensor) -> tl.tensor:
    """Replace one column of a tile."""
    return tl.where(index[None, :] == column, values[:, None], tile)


@triton.jit
def _spline_backward(
    shares: tl.tensor, index: tl.tensor, q: tl.tensor, g: tl.tensor, inverse: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """A knot (x_k, y_k) moves the value by c_k dy_k - slope c_k dx_k; an outer slope, by the distance to its knot."""
    x: tl.constexpr = 4 if inverse else 0
    y: tl.constexpr = 0 if inverse else 4
    _, slope, c0, c1, c2, c3, x0, x3 = spline_points(shares, index, q, inverse)
    turn = -slope * slope if inverse else 1.0  # derivative of 1 / slope
    c0, c1, c2, c3 = c0 * g, c1 * g, c2 * g, c3 * g
    raw = tl.zeros_like(shares)
    raw = _put(raw, index, x, slope * c0)
    raw = _put(raw, index, x + 1, slope * (c0 + c1))
    raw = _put(raw, index, x + 2, -slope * (c2 + c3))
    raw = _put(raw, index, x + 3, -slope * c3)
    raw = _put(raw, index, y, -c0)
    raw = _put(raw, index, y + 1, -(c0 + c1))
    raw = _put(raw, index, y + 2, c2 + c3)
    raw = _put(raw, index, y + 3, c3)
    raw = _put(raw, index, 8, 2.0 * g * tl.minimum(q - x0, 0.0) * turn)
    raw = _put(raw, index, 9, 2.0 * g * tl.maximum(q - x3, 0.0) * turn)
    return slope * g, raw * (WIDTH_RANGE * shares * (1.0 - shares))


@triton.jit
def _affine_backward(
    numbers: tl.tensor, index: tl.tensor, q: tl.tensor, g: tl.tensor, inverse: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    free = pick(numbers, index, 0)
    log_scale = tl.minimum(tl.maximum(free, -LARGEST), LARGEST)
    within = (free >= -LARGEST) & (free <= LARGEST)
    scale = tl.exp(log_scale) if inverse else tl.exp(-log_scale)
    by_scale = q * scale if inverse else -(q - pick(numbers, index, 1)) * scale
    raw = _put(tl.zeros_like(numbers), index, 0, tl.where(within, g * by_scale, 0.0))
    return g * scale, _put(raw, index, 1, g if inverse else -g * scale)
