"""Bilinear reading of plane features for a block of points, compiled: forward and backward.

Nodes are stored row by row with their channels side by side, one plane after the other. The reference is
`FeaturePlanes` in `omnitrack.motion.encoding`.
"""

from __future__ import annotations

import numpy as np

from omnitrack.compiling import compiled, summing
from omnitrack.motion.fused.blocks import BLOCK, HALF, ONE, Array


@compiled
def cell_of(x: float, side: int) -> tuple[int, float]:
    """The cell left of x in [-1, 1] on a grid of `side` nodes, valid even if x is NaN, and the offset of x in it."""
    along = (x + ONE) * HALF * np.float32(side - 1)
    cell = np.int64(along)
    cell = side - 2 if cell > side - 2 else cell
    cell = 0 if cell < 0 else cell
    return cell, along - np.float32(cell)


@compiled
def read_planes(planes: Array, sides: Array, x: Array, y: Array, features: Array) -> None:
    """Read features (planes x C, BLOCK) bilinearly at x, y in [-1, 1] from consecutive planes (cells, C)."""
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
    """Compute the gradients of x and y (BLOCK), and transpose the features' gradient to (points, planes x C)."""
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
    """Add the gradients of points to one plane, with the weights of `read_planes`.

    Args:
        gradient: (P, planes x C) gradient of the features.
        places: (2, P) positions at which they were read.
        first: The plane's first cell.
        side: Its nodes per side.
        begin: Its first feature.
        channels: C.
        out: (cells, C), the gradient of all planes.
    """
    for p in range(gradient.shape[0]):
        column, right = cell_of(places[0, p], side)
        row, below = cell_of(places[1, p], side)
        cell = first + row * side + column
        own = gradient[p, begin : begin + channels]
        for corner in range(4):
            to_right, under = corner & 1, corner >> 1
            weight = (right if to_right else ONE - right) * (below if under else ONE - below)
            node = out[cell + to_right + under * side]
            for c in range(channels):
                node[c] += weight * own[c]
