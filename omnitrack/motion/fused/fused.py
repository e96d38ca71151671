"""Where the compiled pass may take the place of the layers in torch."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from omnitrack.motion.coupling import Coupling
from omnitrack.motion.fused.packing import Packed, Shape, pack, shape_of

PACKAGE = "numba"  # the extra fast


@dataclass(frozen=True)
class FusedLayers:
    """The layers of a warp, packed: see `omnitrack.motion.warp.TimeColumns`.

    Attributes:
        packed: Their weights.
        shape: Their shape.
    """

    packed: Packed
    shape: Shape

    def carry(self, points: list[Tensor], frames: Tensor, inverse: bool = False) -> list[Tensor]:
        """See `omnitrack.motion.warp.TimeColumns.carry`."""
        from omnitrack.motion.fused.carrying import carried  # compiles

        return list(carried(torch.stack(points), frames, self.packed, self.shape, inverse).unbind())


def fused(layers: Sequence[Coupling], columns: Sequence[Tensor]) -> FusedLayers | None:
    """The layers packed for the compiled pass; None where that does not know them, or is not to be trusted.

    Args:
        layers: L couplings.
        columns: L times (T, n), `Coupling.column` of all frames.
    """
    first = columns[0]
    if first.device.type != "cpu" or first.dtype != torch.float32 or trouble():
        return None
    shape = shape_of(layers)
    return None if shape is None else FusedLayers(pack(layers, columns), shape)


@lru_cache
def trouble() -> str:
    """Why the compiled pass is not used on this computer; empty where it is. The first call compiles: seconds."""
    if not is_installed():
        return f"{PACKAGE} is not installed"
    from omnitrack.motion.fused.trust import deviation

    try:
        return deviation()
    except Exception as error:  # a compiler may fail in any way: the reference does the same work
        return f"{PACKAGE} failed: {error or type(error).__name__}".partition("\n")[0]


def is_installed() -> bool:
    """Whether there is a compiler."""
    return importlib.util.find_spec(PACKAGE) is not None
