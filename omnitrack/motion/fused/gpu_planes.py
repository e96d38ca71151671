"""Bilinear reading of plane features for a block of points on a GPU, in Triton: forward and backward.

A tile is (points, features), padded to powers of two; the padding is zero. The reference is `FeaturePlanes` in
`omnitrack.motion.encoding`.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def hyperbolic_tangent(x: tl.tensor) -> tl.tensor:
    """The hyperbolic tangent by the exponential, which both the interpreter and every GPU support."""
    e = tl.exp(-2.0 * tl.abs(x))
    t = (1.0 - e) / (1.0 + e)
    return tl.where(x < 0, -t, t)


@triton.jit
def planes_of(
    feature: tl.tensor, sides: tl.tensor, firsts: tl.tensor, features: tl.constexpr, channels: tl.constexpr
) -> tuple[tl.tensor, tl.tensor]:
    """Nodes per side of each feature's plane, and the feature's offset in the first node of that plane; a row each."""
    known, plane = feature < features, feature // channels
    side = tl.load(sides + plane, mask=known, other=2)
    first = tl.load(firsts + plane, mask=known, other=0) * channels + feature % channels
    return side[None, :], first[None, :]


@triton.jit
def cell_of(place: tl.tensor, side: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """The cell left of a position in [-1, 1] on a grid of `side` nodes, valid even for NaN, and the offset in it."""
    along = (place + 1.0) * 0.5 * (side - 1).to(tl.float32)
    cell = tl.minimum(tl.maximum(along.to(tl.int32), 0), side - 2)
    return cell, along - cell.to(tl.float32)


@triton.jit
def nodes_around(
    u: tl.tensor, v: tl.tensor, side: tl.tensor, first: tl.tensor, channels: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The upper left node, the step to the next row, and the weights, for positions (points,) and features.

    The weights belong to the right nodes and to the lower nodes.
    """
    column, right = cell_of(u[:, None], side)
    row, below = cell_of(v[:, None], side)
    return first + (row * side + column) * channels, side * channels, right, below


@triton.jit
def read_planes(
    planes: tl.tensor,
    u: tl.tensor,
    v: tl.tensor,
    side: tl.tensor,
    first: tl.tensor,
    known: tl.tensor,
    channels: tl.constexpr,
) -> tl.tensor:
    """Read features (points, padded features) bilinearly."""
    at, down, right, below = nodes_around(u, v, side, first, channels)
    v00 = tl.load(planes + at, mask=known, other=0.0)
    v01 = tl.load(planes + at + channels, mask=known, other=0.0)
    v10 = tl.load(planes + at + down, mask=known, other=0.0)
    v11 = tl.load(planes + at + down + channels, mask=known, other=0.0)
    return (v00 * (1.0 - right) + v01 * right) * (1.0 - below) + (v10 * (1.0 - right) + v11 * right) * below


@triton.jit
def read_plane_backward(
    plane: tl.tensor,
    plane_gradient: tl.tensor,
    u: tl.tensor,
    v: tl.tensor,
    gradient: tl.tensor,
    side: tl.tensor,
    there: tl.tensor,
    channels: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor]:
    """Add the gradient (points, padded channels) of one plane's features to the gradient of the plane.

    It visits one node at a time, because all four at once would not fit into the registers.

    Returns:
        The gradients (points,) of u and v.
    """
    channel = tl.arange(0, gradient.shape[1])[None, :]
    known = there[:, None] & (channel < channels)
    (column, right), (row, below) = cell_of(u, side), cell_of(v, side)
    at = (row * side + column)[:, None] * channels + channel
    left, above = 1.0 - right, 1.0 - below
    v00 = _visit(plane, plane_gradient, at, gradient, left * above, known)
    v01 = _visit(plane, plane_gradient, at + channels, gradient, right * above, known)
    v10 = _visit(plane, plane_gradient, at + side * channels, gradient, left * below, known)
    v11 = _visit(plane, plane_gradient, at + (side + 1) * channels, gradient, right * below, known)
    scale = 0.5 * (side - 1).to(tl.float32)
    across = (v01 - v00) * above + (v11 - v10) * below
    along = (v10 - v00) * left + (v11 - v01) * right
    return across * scale, along * scale


@triton.jit
def _visit(
    plane: tl.tensor, plane_gradient: tl.tensor, at: tl.tensor, gradient: tl.tensor, share: tl.tensor, known: tl.tensor
) -> tl.tensor:
    """Add a node's share of the gradient, and return the product (points,) of the gradient with the node."""
    tl.atomic_add(plane_gradient + at, gradient * share[:, None], mask=known, sem="relaxed")
    return tl.sum(gradient * tl.load(plane + at, mask=known, other=0.0), 1)
