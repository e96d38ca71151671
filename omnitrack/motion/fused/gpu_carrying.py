"""The couplings on a GPU as a torch operation that launches the Triton kernels.

Programs add to a time column or to a node of a plane in any order, so that the last bits of these gradients differ from
run to run, as with torch's own kernels on a GPU.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
import triton
from torch import Tensor

from omnitrack.motion.fused.gpu_couplings import carry_kernel, points_backward_kernel, weights_backward_kernel
from omnitrack.motion.fused.packing import Packed, Shape

BLOCK = 64  # points per program: as many as the four warps of one product on tensor cores take
TILE = 1024  # points times features per backward program, which holds twice as many numbers in registers
WARPS, WEIGHTS_WARPS = 4, 8  # the sums of the weights take as many registers again
PROGRAMS = 64  # at most, that share the points of a layer in the sums of its weights
LEAST_SIDE = 16  # of the tiles of a product on tensor cores
PRECISION = "tf32x3"  # three 10-bit products per float32 product: tensor cores with the rounding of float32
HIDDEN_LAYERS = 2  # that the kernels are written for
MOST_WIDE = 64  # rows of any stage: with more, a block does not fit into the registers


def knows(shape: Shape) -> bool:
    """Whether the kernels support layers of a shape."""
    return len(shape.widths) == HIDDEN_LAYERS + 2 and max(shape.widths) <= MOST_WIDE


def carried(points: Tensor, frames: Tensor, packed: Packed, shape: Shape, inverse: bool) -> Tensor:
    """Carry points (3, P) of frames (P,) through all layers, or back; differentiable except in shape and frames."""
    return _Carrying.apply(points, frames, *packed, shape, inverse)  # type: ignore[no-any-return, no-untyped-call]


class _Carrying(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        points: Tensor,
        frames: Tensor,
        columns: Tensor,
        planes: Tensor,
        weights: Tensor,
        shape: Shape,
        inverse: bool,
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        points, frames, columns, planes, weights = (t.contiguous() for t in (points, frames, columns, planes, weights))
        changed, sides, firsts, _ = _tables(*_key(shape), inverse, points.device)
        before, landed = points.new_empty(len(changed) if keep else 0, points.shape[1]), torch.empty_like(points)
        sizes, meta = _sizes(points, columns, planes), {**compiled_for(shape, planes.shape[2], inverse), "BLOCK": BLOCK}
        with torch.cuda.device_of(points):
            if points.shape[1]:
                carry_kernel[_blocks(points, BLOCK),](
                    points, frames, changed, sides, firsts, columns, planes, weights, before, landed, *sizes,
                    KEEP=keep, **meta, num_warps=WARPS,
                )  # fmt: skip
        ctx.save_for_backward(frames, columns, planes, weights, before, landed)
        ctx.shape, ctx.inverse = shape, inverse
        return landed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        frames, columns, planes, weights, before, landed = ctx.saved_tensors
        changed, sides, firsts, state_rows = _tables(*_key(ctx.shape), ctx.inverse, landed.device)
        sizes, meta = _sizes(landed, columns, planes), compiled_for(ctx.shape, planes.shape[2], ctx.inverse)
        meta["BLOCK"] = TILE // meta["PADDED"][0]
        back, behind = torch.empty_like(landed), torch.empty_like(before)
        columns_gradient, planes_gradient = torch.zeros_like(columns), torch.zeros_like(planes)
        blocks = _blocks(landed, meta["BLOCK"])
        sums = weights.new_empty(min(PROGRAMS, blocks), *weights.shape)
        with torch.cuda.device_of(landed):
            if blocks:
                points_backward_kernel[blocks,](
                    landed, frames, changed, sides, firsts, columns, planes, weights, before, gradient.contiguous(),
                    behind, back, columns_gradient, planes_gradient, *sizes, len(sides), **meta, num_warps=WARPS,
                )  # fmt: skip
                weights_backward_kernel[sums.shape[:2]](
                    torch.cat([before, landed]), state_rows, frames, changed, sides, firsts, columns, planes, weights,
                    behind, sums, *sizes, **meta, num_warps=WEIGHTS_WARPS,
                )  # fmt: skip
        return back, None, columns_gradient, planes_gradient, sums.sum(0), None, None


def _blocks(points: Tensor, block: int) -> int:
    """Number of blocks of points (3, P)."""
    return -(-points.shape[1] // block)


def _sizes(points: Tensor, columns: Tensor, planes: Tensor) -> tuple[int, int, int, int]:
    """Numbers of points, frames, nodes and layers."""
    return points.shape[1], columns.shape[1], planes.shape[1], len(planes)


def compiled_for(shape: Shape, channels: int, inverse: bool) -> dict[str, Any]:
    """The compile-time constants of all kernels, except for the points per block."""
    widths = tuple(int(width) for width in shape.widths)
    padded = tuple(max(LEAST_SIDE, triton.next_power_of_2(width)) for width in (*widths, channels))
    return {"INVERSE": inverse, "CHANNELS": channels, "WIDTHS": widths, "PADDED": padded, "PRECISION": PRECISION}


def _key(shape: Shape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(map(int, shape.changed)), tuple(map(int, shape.sides))


@lru_cache
def _tables(
    changed: tuple[int, ...], sides: tuple[int, ...], inverse: bool, device: torch.device
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Changed coordinates, sides of the planes, their first nodes, and `state_rows`, int32.

    Cached on the device, because a copy in every step would block the host.
    """
    layers = len(changed)
    firsts = [sum(side**2 for side in sides[:plane]) for plane in range(len(sides))]
    rows = [layers, layers + 1, layers + 2]  # the rows of the carried points
    of_layer = {}
    for layer in range(layers) if inverse else reversed(range(layers)):
        rows[changed[layer]] = layer
        of_layer[layer] = list(rows)
    state_rows = [of_layer[layer] for layer in range(layers)]
    tables = (torch.tensor(t, dtype=torch.int32).to(device) for t in (changed, sides, firsts, state_rows))
    return tuple(tables)  # type: ignore[return-value]
