"""The parts of a layer that all kernels share, for a block of points: features, network, coordinates.

A tile is (points, features), padded to powers of two. `gpu_couplings.py` describes the arrays.
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnitrack.motion.fused.gpu_network import activate
from omnitrack.motion.fused.gpu_planes import hyperbolic_tangent, planes_of, read_planes


@triton.jit
def judge(
    moved: tl.tensor,
    x: tl.tensor,
    y: tl.tensor,
    z: tl.tensor,
    frame: tl.tensor,
    plane: tl.tensor,
    column: tl.tensor,
    weight: tl.tensor,
    side: tl.tensor,
    first: tl.tensor,
    known: tl.tensor,
    CHANNELS: tl.constexpr,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Evaluate a layer's network for a block, up to the parameters of the monotone maps.

    Args:
        moved: The coordinate that the layer changes.
        x, y, z: (points,) coordinates before the layer.
        frame: (points,) frame of each point.
        plane, column, weight: Pointers to the layer's own planes, columns and weights.
        side, first, known: From `features_of`.

    Returns:
        Both coordinates (points,) of the read position, the features, the second hidden layer, and the parameters.
    """
    u, v = places(moved, x, y, z)
    read = read_planes(plane, u, v, side, first, known, CHANNELS)
    h2, numbers = activate(read, frame, column, weight, WIDTHS, PADDED, PRECISION)
    return u, v, read, h2, numbers


@triton.jit
def features_of(
    sides: tl.tensor, firsts: tl.tensor, CHANNELS: tl.constexpr, WIDTHS: tl.constexpr, PADDED: tl.constexpr
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """The side and the first node of each feature's plane, and whether the feature exists; a row each."""
    feature = tl.arange(0, PADDED[0])
    side, first = planes_of(feature, sides, firsts, WIDTHS[0], CHANNELS)
    return side, first, (feature < WIDTHS[0])[None, :]


# --- coordinates ------------------------------------------------------------------------------------------------
@triton.jit
def load_points(rows: tl.tensor, point: tl.tensor, count: int) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Load three rows (3, P) at some points."""
    there = point < count
    x = tl.load(rows + point, mask=there, other=0.0)
    y = tl.load(rows + count + point, mask=there, other=0.0)
    z = tl.load(rows + 2 * count + point, mask=there, other=0.0)
    return x, y, z


@triton.jit
def coordinate(which: tl.tensor, x: tl.tensor, y: tl.tensor, z: tl.tensor) -> tl.tensor:
    """Select one of three coordinates."""
    return tl.where(which == 0, x, tl.where(which == 1, y, z))


@triton.jit
def replaced(
    which: tl.tensor, value: tl.tensor, x: tl.tensor, y: tl.tensor, z: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Return three coordinates with one of them replaced."""
    return tl.where(which == 0, value, x), tl.where(which == 1, value, y), tl.where(which == 2, value, z)


@triton.jit
def places(moved: tl.tensor, x: tl.tensor, y: tl.tensor, z: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """The position at which a layer reads its planes: hyperbolic tangents of the coordinates that it keeps."""
    return hyperbolic_tangent(tl.where(moved == 0, y, x)), hyperbolic_tangent(tl.where(moved == 2, y, z))
