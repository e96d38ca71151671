"""Comparison of the compiled pass with its reference on a small batch, before a fit uses it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.fused.packing import Packed, Shape, pack, shape_of
from omnitrack.motion.warp import PlainLayers

TOLERANCE = 1e-3  # of the largest value; float32 rounding causes some 1e-5, a wrong formula or compiler far more
FRAMES, POINTS = 3, 200  # full blocks, and a partial one

Carried = Callable[[Tensor, Tensor, Packed, Shape, bool], Tensor]


def deviation(carried: Carried, device: torch.device) -> str:
    """Describe how a compiled pass differs from torch on a device; empty if it does not."""
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        for name, scalar_map in SCALAR_MAPS.items():
            layers = [Coupling(c, PlaneConditioner((4, 7), 8, 5, (10, 6)), scalar_map) for c in (0, 1, 2)]
            for layer in layers:
                torch.nn.init.normal_(layer.last.weight, std=0.3)
                layer.to(device)
            for inverse in (False, True):
                if found := _deviation(carried, layers, inverse, device):
                    return f"the compiled {name} is {found:.1e} away from its reference"
    return ""


def _deviation(carried: Carried, layers: Sequence[Coupling], inverse: bool, device: torch.device) -> float:
    """The largest relative difference of values and gradients, against the largest of each; 0 within the tolerance."""
    drawn = torch.randn(3, POINTS), torch.randn(FRAMES, 5), torch.randint(0, FRAMES, (POINTS,)), torch.randn(3, POINTS)
    points, time, frames, weight = (part.to(device) for part in drawn)
    worst = 0.0
    for ours, reference in zip(
        *(_results(way, layers, points, time, frames, weight, inverse) for way in (carried, None)), strict=True
    ):
        worst = max(worst, float((ours - reference).abs().max() / reference.abs().max().clamp_min(1e-6)))
    return 0.0 if worst <= TOLERANCE else worst


def _results(
    carried: Carried | None,
    layers: Sequence[Coupling],
    points: Tensor,
    time: Tensor,
    frames: Tensor,
    weight: Tensor,
    inverse: bool,
) -> list[Tensor]:
    """The carried points, and the gradients of their weighted sum in the points, the time and every parameter."""
    points, time = points.clone().requires_grad_(), time.clone().requires_grad_()
    columns = [layer.column(time) for layer in layers]
    if carried is not None:
        shape = shape_of(layers)
        assert shape is not None
        landed = carried(points, frames, pack(layers, columns), shape, inverse)
    else:
        landed = torch.stack(PlainLayers(layers, columns).carry(list(points.unbind()), frames, inverse))
    inputs = [points, time, *(p for layer in layers for p in layer.parameters())]
    return [landed.detach(), *torch.autograd.grad((landed * weight).sum(), inputs)]
