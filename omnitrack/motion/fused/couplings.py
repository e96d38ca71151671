"""All coupling layers over blocks of points, compiled: forward, and a backward pass that recomputes the activations.

A layer's activations for a block are one array (rows, BLOCK), stage after stage: the features read from the planes, the
outputs of each hidden layer, the parameters of the monotone maps. Weights are laid out as in `packing`.

The reference is `omnitrack.motion.coupling`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from omnitrack.compiling import compiled, inlined, merged
from omnitrack.motion.fused import blocks, maps, planes
from omnitrack.motion.fused.blocks import BLOCK, ONE, Array

SPLINE_NUMBERS = 10  # per point; an affine map has two


class Plan(NamedTuple):
    """All inputs of `carry` except the points.

    Attributes:
        frames: (P,) int64 frame of each point.
        changed: (L,) the coordinate that each layer changes.
        columns: (L, T, H) what each frame adds to each layer's first product.
        planes: (L, cells, C) features on planes, one after the other.
        sides: Nodes per side of each plane.
        weights: (L, n) see `omnitrack.motion.fused.packing`.
        widths: Rows of each stage of the activations.
        inverse: Apply the layers' inverses, last layer first.
    """

    frames: Array
    changed: Array
    columns: Array
    planes: Array
    sides: Array
    weights: Array
    widths: Array
    inverse: bool


@compiled
def carry(points: Array, plan: Plan, begin: int, end: int, before: Array, out: Array) -> None:
    """Carry blocks of points through all layers.

    Args:
        points: (3, P) coordinates.
        plan: The layers.
        begin: First point, a multiple of BLOCK.
        end: One past the last point.
        before: (L, P) receives the changed coordinate before each layer, for `carry_backward`; (0, 0) keeps none.
        out: (3, P) receives the carried points.
    """
    activations = np.empty((plan.widths.sum(), BLOCK), np.float32)
    numbers = activations[plan.widths[:-1].sum() :]
    place, state = np.empty((2, BLOCK), np.float32), np.zeros((3, BLOCK), np.float32)
    frame = np.zeros(BLOCK, np.int64)
    layers = len(plan.changed)
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        frame[:count] = plan.frames[first : first + count]
        state[:, :count] = points[:, first : first + count]
        for step in range(layers):
            layer = layers - 1 - step if plan.inverse else step
            moved = plan.changed[layer]
            if len(before):
                before[layer, first : first + count] = state[moved, :count]
            activate(plan, layer, state, frame, place, activations)
            apply_map(numbers, plan.inverse, state[moved], state[moved])
        out[:, first : first + count] = state[:, :count]


@compiled
def carry_backward(
    points: Array,
    plan: Plan,
    begin: int,
    end: int,
    before: Array,
    gradient: Array,
    origin: int,
    weights_gradient: Array,
    columns_gradient: Array,
    features_gradient: Array,
    places: Array,
) -> None:
    """Backpropagate through `carry`, layer after layer from the last one.

    Args:
        points: (3, P) the carried points, `out` of `carry`.
        plan: The layers.
        begin: First point, a multiple of BLOCK.
        end: One past the last point.
        before: (L, P) filled by `carry`.
        gradient: (3, P) of the carried points; becomes the gradient of the original points.
        origin: The point with which `features_gradient` and `places` begin.
        weights_gradient: (L, n) is added to.
        columns_gradient: (L, T, H) is added to.
        features_gradient: (L, points, F) receives the gradient of the features, for `scatter`.
        places: (L, 2, points) receives the positions at which the features were read.
    """
    activations = np.empty((plan.widths.sum(), BLOCK), np.float32)
    flow = np.empty_like(activations)  # gradient of the activations
    place, state, back = (
        np.empty((2, BLOCK), np.float32),
        np.zeros((3, BLOCK), np.float32),
        np.zeros((3, BLOCK), np.float32),
    )
    frame = np.zeros(BLOCK, np.int64)
    layers = len(plan.changed)
    for first in range(begin, end, BLOCK):
        count = min(BLOCK, end - first)
        frame[:count] = plan.frames[first : first + count]
        state[:, :count] = points[:, first : first + count]
        back[:, :count], back[:, count:] = gradient[:, first : first + count], np.float32(0)
        for step in range(layers):
            layer = step if plan.inverse else layers - 1 - step
            state[plan.changed[layer], :count] = before[layer, first : first + count]
            activate(plan, layer, state, frame, place, activations)
            at = first - origin
            into = features_gradient[layer, at : at + count]
            layer_backward(
                plan,
                layer,
                state,
                frame,
                place,
                activations,
                flow,
                back,
                weights_gradient[layer],
                columns_gradient[layer],
                into,
            )
            places[layer, :, at : at + count] = place[:, :count]
        gradient[:, first : first + count] = back[:, :count]


@merged
def layer_backward(
    plan: Plan,
    layer: int,
    state: Array,
    frame: Array,
    place: Array,
    activations: Array,
    flow: Array,
    back: Array,
    weights_gradient: Array,
    columns_gradient: Array,
    features_gradient: Array,
) -> None:
    """Turn the gradient `back` (3, BLOCK) after a layer into that before it, and add the gradients of its inputs.

    Args:
        plan: The layers.
        layer: Index of the layer.
        state: (3, BLOCK) the coordinates before it.
        frame: (BLOCK,) the points' frames.
        place: (2, BLOCK) the position at which it reads its features, from `activate`.
        activations: From `activate`.
        flow: Buffer for their gradient.
        back: Changed in place.
        weights_gradient: (n,) is added to.
        columns_gradient: (T, H) is added to.
        features_gradient: (points, F) receives the gradient of the features.
    """
    widths, moved = plan.widths, plan.changed[layer]
    a, b = other(moved, 0), other(moved, 1)
    start = len(activations) - widths[-1]
    flow[:start] = 0
    apply_map_backward(activations[start:], plan.inverse, state[moved], back[moved], flow[start:])
    products_backward(plan.weights[layer], widths, activations, flow, weights_gradient)
    hidden = flow[widths[0] : widths[0] + widths[1]]
    for row in range(widths[1]):
        for p in range(len(features_gradient)):
            columns_gradient[frame[p], row] += hidden[row, p]
    along = np.empty_like(place)  # gradient of `place`
    read = flow[: widths[0]]
    planes.read_planes_backward(
        plan.planes[layer], plan.sides, place[0], place[1], read, features_gradient, along[0], along[1]
    )
    for p in range(BLOCK):  # derivative of the hyperbolic tangent
        back[a, p] += along[0, p] * (ONE - place[0, p] * place[0, p])
        back[b, p] += along[1, p] * (ONE - place[1, p] * place[1, p])


@compiled
def scatter(
    features_gradient: Array, places: Array, sides: Array, layer: int, plane: int, planes_gradient: Array
) -> None:
    """Add the gradients of features to one plane of one layer, point by point."""
    channels, first = planes_gradient.shape[2], 0
    for other_plane in range(plane):
        first += sides[other_plane] ** 2
    planes.add_to_plane(
        features_gradient[layer], places[layer], first, sides[plane], plane * channels, channels, planes_gradient[layer]
    )


@inlined
def other(changed: int, index: int) -> int:
    """The first or second of the coordinates that a layer keeps."""
    kept = 1 if changed == 0 else 0
    return kept if index == 0 else (1 if changed == 2 else 2)


@compiled
def activate(plan: Plan, layer: int, state: Array, frame: Array, place: Array, activations: Array) -> None:
    """Fill a layer's `activations` from the coordinates (3, BLOCK), and `place` (2, BLOCK) with its read position."""
    moved, widths, column, weights = plan.changed[layer], plan.widths, plan.columns[layer], plan.weights[layer]
    blocks.tanh_row(state[other(moved, 0)], place[0])
    blocks.tanh_row(state[other(moved, 1)], place[1])
    planes.read_planes(plan.planes[layer], plan.sides, place[0], place[1], activations[: widths[0]])
    row, weight, stages = widths[0], 0, len(widths)
    for stage in range(1, stages):
        inner, many = widths[stage - 1], widths[stage]
        out = activations[row : row + many]
        matrix = weights[weight : weight + many * inner].reshape(many, inner)
        weight += many * inner
        if stage == 1:
            for j in range(many):
                for p in range(BLOCK):
                    out[j, p] = column[frame[p], j]
        else:
            for j in range(many):
                for p in range(BLOCK):
                    out[j, p] = weights[weight + j]
            weight += many
        blocks.add_product(matrix, activations[row - inner : row], out)
        if stage < stages - 1:
            blocks.leaky_rows(out)
        elif many == SPLINE_NUMBERS:
            blocks.sigmoid_rows(out)
        row += many


@merged
def products_backward(weights: Array, widths: Array, activations: Array, flow: Array, weights_gradient: Array) -> None:
    """Backpropagate the gradient of the last stage, in `flow`, to all stages before it and to the weights."""
    row, weight = widths.sum(), len(weights)
    for stage in range(len(widths) - 1, 0, -1):
        inner, many = widths[stage - 1], widths[stage]
        row -= many
        if stage > 1:
            weight -= many
            blocks.add_sums(flow[row : row + many], weights_gradient[weight : weight + many])
        weight -= many * inner
        matrix = weights[weight : weight + many * inner].reshape(many, inner)
        matrix_gradient = weights_gradient[weight : weight + many * inner].reshape(many, inner)
        x, x_flow = activations[row - inner : row], flow[row - inner : row]
        blocks.add_outer(flow[row : row + many], x, matrix_gradient)
        blocks.add_product(matrix.T, flow[row : row + many], x_flow)
        if stage > 1:
            blocks.leaky_backward_rows(x, x_flow)


@compiled
def apply_map(numbers: Array, inverse: bool, q: Array, out: Array) -> None:
    """Apply the monotone maps with parameters `numbers` to q (BLOCK)."""
    if len(numbers) == SPLINE_NUMBERS:
        maps.spline_rows(numbers, inverse, q, out)
    else:
        maps.affine_rows(numbers, inverse, q, out)


@compiled
def apply_map_backward(numbers: Array, inverse: bool, q: Array, gradient: Array, numbers_gradient: Array) -> None:
    """Turn the gradient (BLOCK) of the maps' values into those of q, in place, and of the raw parameters."""
    if len(numbers) == SPLINE_NUMBERS:
        maps.spline_backward_rows(numbers, inverse, q, gradient, numbers_gradient)
    else:
        maps.affine_backward_rows(numbers, inverse, q, gradient, numbers_gradient)
