"""The network of one layer for a block of points on a GPU, in Triton: forward and backward.

A tile is (points, rows), padded to powers of two; the padding is zero, except in the sigmoids of splines. Weights are
laid out as in `packing`. The reference is `omnitrack.motion.conditioner`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnitrack.motion.fused.gpu_maps import SPLINE_NUMBERS

LEAK = tl.constexpr(0.01)  # slope of the rectifier left of zero, as in torch
ROWS = tl.constexpr(16)  # of the first hidden layer that are computed at a time


@triton.jit
def activate(
    read: tl.tensor,
    frame: tl.tensor,
    column: tl.tensor,
    weight: tl.tensor,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Compute the second hidden layer from the features, and the parameters of the maps (of splines, their sigmoids).

    The first hidden layer is computed a few rows at a time: all of it and its matrix would not fit into the registers.
    """
    narrow, index = tl.arange(0, PADDED[2]), tl.arange(0, PADDED[3])
    second, third = weight + second_at(WIDTHS), weight + third_at(WIDTHS)
    bias = tl.load(second + WIDTHS[2] * WIDTHS[1] + narrow, mask=narrow < WIDTHS[2], other=0.0)
    h2 = tl.broadcast_to(bias[None, :], (read.shape[0], PADDED[2]))
    for begin in range(0, WIDTHS[1], ROWS):
        wide = begin + tl.arange(0, ROWS)
        h1 = first_layer(read, frame, column, weight, wide, WIDTHS, PADDED, PRECISION)
        h2 = product(h1, matrix_of(second, narrow, wide, WIDTHS[2], WIDTHS[1]), h2, PRECISION)
    h2 = leaky(h2)
    bias = tl.load(third + WIDTHS[3] * WIDTHS[2] + index, mask=index < WIDTHS[3], other=0.0)
    start = tl.broadcast_to(bias[None, :], (read.shape[0], PADDED[3]))
    numbers = product(h2, matrix_of(third, index, narrow, WIDTHS[3], WIDTHS[2]), start, PRECISION)
    if WIDTHS[3] == SPLINE_NUMBERS:
        numbers = 1.0 / (1.0 + tl.exp(-numbers))
    return h2, numbers


@triton.jit
def first_layer(
    read: tl.tensor,
    frame: tl.tensor,
    column: tl.tensor,
    weight: tl.tensor,
    wide: tl.tensor,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Compute some rows of the first hidden layer."""
    feature = tl.arange(0, PADDED[0])
    start = tl.load(column + frame[:, None] * WIDTHS[1] + wide[None, :], mask=(wide < WIDTHS[1])[None, :], other=0.0)
    return leaky(product(read, matrix_of(weight, wide, feature, WIDTHS[1], WIDTHS[0]), start, PRECISION))


@triton.jit
def part_of_first(
    weight: tl.tensor,
    wide: tl.tensor,
    plane: tl.tensor,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> tl.tensor:
    """Load some rows of the first matrix, and of these the columns that belong to one plane."""
    channel = tl.arange(0, PADDED[4])
    known = (wide < WIDTHS[1])[:, None] & (channel < CHANNELS)[None, :]
    at = wide[:, None] * WIDTHS[0] + plane * CHANNELS + channel[None, :]
    return tl.load(weight + at, mask=known, other=0.0)


@triton.jit
def second_backward(
    h2: tl.tensor,
    raw: tl.tensor,
    weight: tl.tensor,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Turn the gradient of the raw parameters into the gradient of the second product."""
    narrow, index = tl.arange(0, PADDED[2]), tl.arange(0, PADDED[3])
    third = matrix_of(weight + third_at(WIDTHS), index, narrow, WIDTHS[3], WIDTHS[2])
    return leaky_backward(h2, product_backward(raw, third, PRECISION))


@triton.jit
def first_backward(
    h1: tl.tensor,
    second: tl.tensor,
    weight: tl.tensor,
    wide: tl.tensor,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tl.tensor:
    """Turn the gradient of the second product into the gradient of some rows of the first product."""
    matrix = matrix_of(weight + second_at(WIDTHS), tl.arange(0, PADDED[2]), wide, WIDTHS[2], WIDTHS[1])
    return leaky_backward(h1, product_backward(second, matrix, PRECISION))


@triton.jit
def leaky(x: tl.tensor) -> tl.tensor:
    """The leaky rectifier."""
    return tl.where(x > 0, x, LEAK * x)


@triton.jit
def leaky_backward(x: tl.tensor, gradient: tl.tensor) -> tl.tensor:
    """The gradient of the leaky rectifier, from its output x."""
    return tl.where(x > 0, gradient, LEAK * gradient)


# --- products ---------------------------------------------------------------------------------------------------
@triton.jit
def matrix_of(
    weights: tl.tensor, row: tl.tensor, column: tl.tensor, rows: tl.constexpr, columns: tl.constexpr
) -> tl.tensor:
    """Load a matrix that is stored row by row, padded."""
    known = (row < rows)[:, None] & (column < columns)[None, :]
    return tl.load(weights + row[:, None] * columns + column[None, :], mask=known, other=0.0)


@triton.jit
def product(x: tl.tensor, matrix: tl.tensor, start: tl.tensor, precision: tl.constexpr) -> tl.tensor:
    """start (points, J) + x (points, I) matrix^T, for a matrix (J, I)."""
    return tl.dot(x, tl.trans(matrix), start, input_precision=precision)


@triton.jit
def product_backward(gradient: tl.tensor, matrix: tl.tensor, precision: tl.constexpr) -> tl.tensor:
    """Turn the gradient (points, J) of a product into the gradient of its x (points, I)."""
    return tl.dot(gradient, matrix, input_precision=precision)


# --- layout of weights ------------------------------------------------------------------------------------------
@triton.jit
def second_at(WIDTHS: tl.constexpr) -> tl.constexpr:
    """Offset of the second matrix in the weights of a layer."""
    return WIDTHS[1] * WIDTHS[0]


@triton.jit
def third_at(WIDTHS: tl.constexpr) -> tl.constexpr:
    """Offset of the third matrix in the weights of a layer."""
    return WIDTHS[1] * WIDTHS[0] + WIDTHS[2] * (WIDTHS[1] + 1)


@triton.jit
def size_of(WIDTHS: tl.constexpr) -> tl.constexpr:
    """Number of weights of a layer."""
    return WIDTHS[1] * WIDTHS[0] + WIDTHS[2] * (WIDTHS[1] + 1) + WIDTHS[3] * (WIDTHS[2] + 1)


@triton.jit
def store_matrix(
    into: tl.tensor, row: tl.tensor, column: tl.tensor, tile: tl.tensor, rows: tl.constexpr, columns: tl.constexpr
) -> None:
    """Store a padded matrix row by row, as `matrix_of` reads it."""
    known = (row < rows)[:, None] & (column < columns)[None, :]
    tl.store(into + row[:, None] * columns + column[None, :], tile, mask=known)
