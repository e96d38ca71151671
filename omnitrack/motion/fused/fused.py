"""Where a compiled pass may take the place of the layers in torch."""

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
    """What compiles the pass for one kind of device.

    Attributes:
        package: It is made with.
        module: Has `carried`, and `knows`, which says whether it can do layers of a shape; importing it compiles.
    """

    package: str
    module: str


BACKENDS = {
    "cpu": Backend("numba", "omnitrack.motion.fused.carrying"),  # the extra fast
    "cuda": Backend("triton", "omnitrack.motion.fused.gpu_carrying"),  # comes with torch for a GPU
}


@dataclass(frozen=True)
class FusedLayers:
    """The layers of a warp, packed: see `omnitrack.motion.warp.TimeColumns`.

    Attributes:
        packed: Their weights.
        shape: Their shape.
        carried: The compiled pass, of the module of a backend.
    """

    packed: Packed
    shape: Shape
    carried: Callable[[Tensor, Tensor, Packed, Shape, bool], Tensor]

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """See `omnitrack.motion.warp.TimeColumns.carry`."""
        return list(self.carried(torch.stack(points), frames, self.packed, self.shape, inverse).unbind())


def fused(layers: Sequence[Coupling], columns: Sequence[Tensor]) -> FusedLayers | None:
    """The layers packed for the compiled pass; None where that does not know them, or is not to be trusted.

    Args:
        layers: L couplings.
        columns: L times (T, n), `Coupling.column` of all frames.
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
    """Why the compiled pass is not used on a kind of device; empty where it is. The first call compiles: seconds."""
    if kind not in BACKENDS:
        return f"there is none for {kind}"
    if not is_installed(kind):
        return f"{BACKENDS[kind].package} is not installed"
    from omnitrack.motion.fused.trust import deviation

    try:
        return deviation(importlib.import_module(BACKENDS[kind].module).carried, torch.device(kind))
    except Exception as error:  # a compiler may fail in any way: the reference does the same work
        return f"{BACKENDS[kind].package} failed: {error or type(error).__name__}".partition("\n")[0]


def is_installed(kind: str = "cpu") -> bool:
    """Whether there is a compiler for a kind of device."""
    return importlib.util.find_spec(BACKENDS[kind].package) is not None
