"""All couplings of a warp for a block of points on a GPU, in Triton: one launch forward, two backward.

A block stays in registers while it passes through all layers. The forward pass stores only the changed coordinate
before each layer, from which the backward pass recomputes the layers. The first backward launch gives the gradients of
points, times and planes; the second, because both do not fit into the registers, those of the weights, as one sum per
program and layer.

The couplings have two hidden layers, as in all presets. The reference is `omnitrack.motion.coupling`.

Arguments of all kernels:

    points          (3, P) coordinates; P is `count`
    frames          (P,) int64
    changed         (L,) int32, the coordinate that each layer changes
    sides, firsts   (planes,) int32, nodes per side of each plane, and number of nodes before it
    columns         (L, T, H) what each frame adds to each layer's first product
    planes          (L, nodes, C)
    weights         (L, n), see `omnitrack.motion.fused.packing`
    before          (L, P) the changed coordinate before each layer
    WIDTHS          rows of each stage: features, two hidden layers, parameters of the monotone map
    PADDED          the same and the channels of a plane, padded
"""

from __future__ import annotations

import triton
import triton.language as tl

from omnitrack.motion.fused.gpu_layers import coordinate, features_of, judge, load_points, replaced
from omnitrack.motion.fused.gpu_maps import map_points, map_points_backward
from omnitrack.motion.fused.gpu_network import (
    ROWS,
    first_backward,
    first_layer,
    part_of_first,
    second_at,
    second_backward,
    size_of,
    store_matrix,
    third_at,
)
from omnitrack.motion.fused.gpu_planes import read_plane_backward


@triton.jit
def carry_kernel(
    points: tl.tensor,
    frames: tl.tensor,
    changed: tl.tensor,
    sides: tl.tensor,
    firsts: tl.tensor,
    columns: tl.tensor,
    planes: tl.tensor,
    weights: tl.tensor,
    before: tl.tensor,
    out: tl.tensor,
    count: int,
    num_frames: int,
    nodes: int,
    layers: int,
    KEEP: tl.constexpr,
    INVERSE: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Carry a block through all layers to `out` (3, P); KEEP also fills `before`."""
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = point < count
    frame = tl.load(frames + point, mask=there, other=0).to(tl.int32)
    x, y, z = load_points(points, point, count)
    side, first, known = features_of(sides, firsts, CHANNELS, WIDTHS, PADDED)
    index = tl.arange(0, PADDED[3])
    for step in range(layers):
        layer = layers - 1 - step if INVERSE else step
        moved = tl.load(changed + layer)
        q = coordinate(moved, x, y, z)
        if KEEP:
            tl.store(before + layer * count + point, q, mask=there)
        column, weight = columns + layer * num_frames * WIDTHS[1], weights + layer * size_of(WIDTHS)
        _, _, _, _, numbers = judge(
            moved, x, y, z, frame, planes + layer * nodes * CHANNELS, column, weight, side, first, known,
            CHANNELS, WIDTHS, PADDED, PRECISION,
        )  # fmt: skip
        x, y, z = replaced(moved, map_points(numbers, index, q, INVERSE, WIDTHS[3]), x, y, z)
    tl.store(out + point, x, mask=there)
    tl.store(out + count + point, y, mask=there)
    tl.store(out + 2 * count + point, z, mask=there)


@triton.jit
def points_backward_kernel(
    landed: tl.tensor,
    frames: tl.tensor,
    changed: tl.tensor,
    sides: tl.tensor,
    firsts: tl.tensor,
    columns: tl.tensor,
    planes: tl.tensor,
    weights: tl.tensor,
    before: tl.tensor,
    gradient: tl.tensor,
    behind: tl.tensor,
    back: tl.tensor,
    columns_gradient: tl.tensor,
    planes_gradient: tl.tensor,
    count: int,
    num_frames: int,
    nodes: int,
    layers: int,
    num_planes: int,
    INVERSE: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Turn the gradient (3, P) of the carried points `landed` (3, P) into `back` (3, P), that of the original points.

    Adds to the gradients of columns and planes, and fills `behind` (L, P) with the gradient of the changed coordinate
    after each layer.
    """
    point = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = point < count
    frame = tl.load(frames + point, mask=there, other=0).to(tl.int32)
    x, y, z = load_points(landed, point, count)
    gx, gy, gz = load_points(gradient, point, count)
    side, first, known = features_of(sides, firsts, CHANNELS, WIDTHS, PADDED)
    index = tl.arange(0, PADDED[3])
    for step in range(layers):
        layer = step if INVERSE else layers - 1 - step
        moved = tl.load(changed + layer)
        q = tl.load(before + layer * count + point, mask=there, other=0.0)
        x, y, z = replaced(moved, q, x, y, z)
        column, weight = columns + layer * num_frames * WIDTHS[1], weights + layer * size_of(WIDTHS)
        u, v, read, h2, numbers = judge(
            moved, x, y, z, frame, planes + layer * nodes * CHANNELS, column, weight, side, first, known,
            CHANNELS, WIDTHS, PADDED, PRECISION,
        )  # fmt: skip
        g = coordinate(moved, gx, gy, gz)
        tl.store(behind + layer * count + point, g, mask=there)
        g, raw = map_points_backward(numbers, index, q, g, INVERSE, WIDTHS[3])
        gx, gy, gz = replaced(moved, g, gx, gy, gz)
        second = second_backward(h2, raw, weight, WIDTHS, PADDED, PRECISION)
        gu, gv = tl.zeros_like(u), tl.zeros_like(v)
        for plane in range(num_planes):
            flow = tl.zeros((BLOCK, PADDED[4]), tl.float32)  # gradient of the plane's features
            for begin in range(0, WIDTHS[1], ROWS):
                wide = begin + tl.arange(0, ROWS)
                h1 = first_layer(read, frame, column, weight, wide, WIDTHS, PADDED, PRECISION)
                h1_flow = first_backward(h1, second, weight, wide, WIDTHS, PADDED, PRECISION)
                if plane == 0:
                    into = columns_gradient + (layer * num_frames + frame[:, None]) * WIDTHS[1] + wide[None, :]
                    tl.atomic_add(into, h1_flow, mask=there[:, None] & (wide < WIDTHS[1])[None, :], sem="relaxed")
                matrix = part_of_first(weight, wide, plane, WIDTHS, PADDED, CHANNELS)
                flow = tl.dot(h1_flow, matrix, flow, input_precision=PRECISION)
            one, start = tl.load(sides + plane), (layer * nodes + tl.load(firsts + plane)) * CHANNELS
            across, along = read_plane_backward(
                planes + start, planes_gradient + start, u, v, flow, one, there, CHANNELS
            )
            gu, gv = gu + across, gv + along
        gu, gv = gu * (1.0 - u * u), gv * (1.0 - v * v)  # derivative of the hyperbolic tangent
        gx = tl.where(moved == 0, gx, gx + gu)
        gy = tl.where(moved == 1, gy, gy + tl.where(moved == 0, gu, gv))
        gz = tl.where(moved == 2, gz, gz + gv)
    tl.store(back + point, gx, mask=there)
    tl.store(back + count + point, gy, mask=there)
    tl.store(back + 2 * count + point, gz, mask=there)


@triton.jit
def weights_backward_kernel(
    states: tl.tensor,
    state_rows: tl.tensor,
    frames: tl.tensor,
    changed: tl.tensor,
    sides: tl.tensor,
    firsts: tl.tensor,
    columns: tl.tensor,
    planes: tl.tensor,
    weights: tl.tensor,
    behind: tl.tensor,
    sums: tl.tensor,
    count: int,
    num_frames: int,
    nodes: int,
    layers: int,
    INVERSE: tl.constexpr,
    CHANNELS: tl.constexpr,
    WIDTHS: tl.constexpr,
    PADDED: tl.constexpr,
    PRECISION: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Compute `sums` (programs, L, n), the weights' gradient, one sum per program that shares a layer's blocks.

    Args in addition to those of all kernels:
        states: (L + 3, P) `before`, followed by the carried points.
        state_rows: (L, 3) int32, the row of `states` that contains each coordinate before each layer.
        behind: From `points_backward_kernel`.
    """
    program, layer = tl.program_id(0), tl.program_id(1)
    feature, index = tl.arange(0, PADDED[0]), tl.arange(0, PADDED[3])
    wide, narrow = tl.arange(0, PADDED[1]), tl.arange(0, PADDED[2])
    side, first, known = features_of(sides, firsts, CHANNELS, WIDTHS, PADDED)
    moved = tl.load(changed + layer)
    row_x, row_y, row_z = (
        tl.load(state_rows + 3 * layer),
        tl.load(state_rows + 3 * layer + 1),
        tl.load(state_rows + 3 * layer + 2),
    )
    column, weight = columns + layer * num_frames * WIDTHS[1], weights + layer * size_of(WIDTHS)
    first_sum = tl.zeros((PADDED[1], PADDED[0]), tl.float32)
    second_sum, second_bias = tl.zeros((PADDED[2], PADDED[1]), tl.float32), tl.zeros((PADDED[2],), tl.float32)
    third_sum, third_bias = tl.zeros((PADDED[3], PADDED[2]), tl.float32), tl.zeros((PADDED[3],), tl.float32)
    for begin in range(program * BLOCK, count, tl.num_programs(0) * BLOCK):
        point = begin + tl.arange(0, BLOCK)
        there = point < count
        frame = tl.load(frames + point, mask=there, other=0).to(tl.int32)
        x = tl.load(states + row_x * count + point, mask=there, other=0.0)
        y = tl.load(states + row_y * count + point, mask=there, other=0.0)
        z = tl.load(states + row_z * count + point, mask=there, other=0.0)
        g = tl.load(behind + layer * count + point, mask=there, other=0.0)
        _, _, read, h2, numbers = judge(
            moved, x, y, z, frame, planes + layer * nodes * CHANNELS, column, weight, side, first, known,
            CHANNELS, WIDTHS, PADDED, PRECISION,
        )  # fmt: skip
        _, raw = map_points_backward(numbers, index, coordinate(moved, x, y, z), g, INVERSE, WIDTHS[3])
        third_sum = tl.dot(tl.trans(raw), h2, third_sum, input_precision=PRECISION)
        third_bias += tl.sum(raw, 0)
        second = second_backward(h2, raw, weight, WIDTHS, PADDED, PRECISION)
        h1 = first_layer(read, frame, column, weight, wide, WIDTHS, PADDED, PRECISION)
        second_sum = tl.dot(tl.trans(second), h1, second_sum, input_precision=PRECISION)
        second_bias += tl.sum(second, 0)
        flow = first_backward(h1, second, weight, wide, WIDTHS, PADDED, PRECISION)
        first_sum = tl.dot(tl.trans(flow), read, first_sum, input_precision=PRECISION)
    into = sums + (program * layers + layer) * size_of(WIDTHS)
    store_matrix(into, wide, feature, first_sum, WIDTHS[1], WIDTHS[0])
    store_matrix(into + second_at(WIDTHS), narrow, wide, second_sum, WIDTHS[2], WIDTHS[1])
    tl.store(into + second_at(WIDTHS) + WIDTHS[2] * WIDTHS[1] + narrow, second_bias, mask=narrow < WIDTHS[2])
    store_matrix(into + third_at(WIDTHS), index, narrow, third_sum, WIDTHS[3], WIDTHS[2])
    tl.store(into + third_at(WIDTHS) + WIDTHS[3] * WIDTHS[2] + index, third_bias, mask=index < WIDTHS[3])
