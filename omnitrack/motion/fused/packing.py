"""The weights of all layers of a warp as a few arrays, and the common shape that the compiled pass requires.

Packing uses torch operations only, so that gradients flow back to every parameter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling

KNOWN_MAPS = (SCALAR_MAPS["spline"], SCALAR_MAPS["affine"])


class Shape(NamedTuple):
    """The common shape of all layers, and the coordinates that they change.

    Attributes:
        changed: (L,) the coordinate that each layer changes.
        sides: Nodes per side of each plane.
        widths: Rows of each stage: features, hidden layers, parameters of the monotone map.
    """

    changed: NDArray[np.int64]
    sides: NDArray[np.int64]
    widths: NDArray[np.int64]


class Packed(NamedTuple):
    """The layers' weights.

    Attributes:
        columns: (L, T, H) what each frame adds to each layer's first product.
        planes: (L, cells, C) the nodes of one plane after the other, row by row.
        weights: (L, n) matrices row by row, each except the first followed by its biases.
    """

    columns: Tensor
    planes: Tensor
    weights: Tensor


def shape_of(layers: Sequence[Coupling]) -> Shape | None:
    """Return the layers' common shape; None if they have none, or consist of other parts."""
    shapes = {_shape(layer) for layer in layers}
    if len(shapes) != 1 or None in shapes:
        return None
    sides, widths = shapes.pop()  # type: ignore[misc]
    if min(sides) < 2:
        return None
    return Shape(*(np.array(values, np.int64) for values in ([layer.changed for layer in layers], sides, widths)))


def _shape(layer: Coupling) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    conditioner = layer.conditioner
    if type(conditioner) is not PlaneConditioner or layer.scalar_map not in KNOWN_MAPS:
        return None
    linear = [conditioner.from_place, *conditioner.layers, layer.last]
    sides = tuple(plane.shape[-1] for plane in conditioner.encoding.planes)  # type: ignore[union-attr]
    return sides, (linear[0].in_features, *(part.out_features for part in linear))  # type: ignore[union-attr, arg-type]


def pack(layers: Sequence[Coupling], columns: Sequence[Tensor]) -> Packed:
    """Pack the weights of layers that have a shape by `shape_of`."""

    def together(parts: Callable[[Coupling], list[Tensor]]) -> Tensor:
        return torch.cat([part for layer in layers for part in parts(layer)]).unflatten(0, (len(layers), -1))

    return Packed(torch.stack(list(columns)), together(_nodes), together(_weights))


def _nodes(layer: Coupling) -> list[Tensor]:
    """Nodes (side^2, C) of each plane (groups, C / groups, side, side)."""
    return [plane.flatten(2).flatten(0, 1).t() for plane in layer.conditioner.encoding.planes]  # type: ignore[union-attr]


def _weights(layer: Coupling) -> list[Tensor]:
    conditioner = layer.conditioner
    rest = [part.flatten() for linear in (*conditioner.layers, layer.last) for part in (linear.weight, linear.bias)]
    return [conditioner.from_place.weight.flatten(), *rest]
