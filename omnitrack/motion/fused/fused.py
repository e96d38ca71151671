"""The choice between a compiled pass and the layers in torch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from omnitrack.motion.coupling import Coupling
from omnitrack.motion.fused.packing import Packed, Shape, pack, shape_of


class Backend(NamedTuple):
    """The compiled pass for one kind of device.

    Attributes:
        package: The package that compiles it.
        module: Has `carried`, and `knows`, which returns whether it supports a shape; importing it needs the package.
    """

    package: str
    module: str


BACKENDS = {
    "cpu": Backend("numba", "omnitrack.motion.fused.carrying"),  # the extra ``fast``
    "cuda": Backend("triton", "omnitrack.motion.fused.gpu_carrying"),  # comes with torch for a GPU
}


@dataclass(frozen=True)
class FusedLayers:
    """The packed layers of a warp: see `omnitrack.motion.warp.TimeColumns`.

    Attributes:
        packed: Their weights.
        shape: Their shape.
        carried: The compiled pass, from the module of a backend.
    """

    packed: Packed
    shape: Shape
    carried: Callable[[Tensor, Tensor, Packed, Shape, bool], Tensor]

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """See `omnitrack.motion.warp.TimeColumns.carry`."""
        return list(self.carried(torch.stack(points), frames, self.packed, self.shape, inverse).unbind())


def fused(layers: Sequence[Coupling], columns: Sequence[Tensor]) -> FusedLayers | None:
    """Pack layers for the compiled pass; None if it does not support them, or is not to be trusted.

    Args:
        layers: L couplings.
        columns: L arrays (T, n), `Coupling.column` of all frames.
    """
    first = columns[0]
    if first.dtype != torch.float32 or trouble(first.device.type):
        return None
    shape = shape_of(layers)
    backend = importlib.import_module(BACKENDS[first.device.type].module)
    if shape is None or not backend.knows(shape):
        return None
    return FusedLayers(pack(layers, columns), shape, backend.carried)


@lru_cache
def trouble(kind: str = "cpu") -> str:
    """Why a kind of device does not use the compiled pass; empty if it does. The first call compiles: seconds."""
    if kind not in BACKENDS:
        return f"there is none for {kind}"
    if not is_installed(kind):
        return f"{BACKENDS[kind].package} is not installed"
    from omnitrack.motion.fused.trust import deviation

    try:
        return deviation(importlib.import_module(BACKENDS[kind].module).carried, torch.device(kind))
    except Exception as error:  # a compiler may fail in any way, and the reference gives the same result
        return f"{BACKENDS[kind].package} failed: {error or type(error).__name__}".partition("\n")[0]


def is_installed(kind: str = "cpu") -> bool:
    """Whether the compiler for a kind of device is installed."""
    return importlib.util.find_spec(BACKENDS[kind].package) is not None
