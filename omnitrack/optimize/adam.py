"""Adam whose whole state is there from the start and stays in its place, so that a recorded step finds it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

FIRST_MOMENT = 0.9  # share of Adam's mean gradient that a step leaves


def make_adam(groups: Iterable[tuple[list[Tensor], Tensor]], second_moment_steps: int) -> torch.optim.Adam:
    """An optimiser whose state is all there.

    Args:
        groups: Parameters, and their learning rate, a scalar on the device that may change.
        second_moment_steps: Over which squared gradients are averaged.
    """
    parts: list[dict[str, Any]] = [{"params": parameters, "lr": rate} for parameters, rate in groups]
    on_cuda = parts[0]["lr"].device.type == "cuda"
    betas = FIRST_MOMENT, 1 - 1 / second_moment_steps
    optimizer = torch.optim.Adam(parts, betas=betas, fused=True, capturable=on_cuda)
    for parameter in parameters_of(optimizer):
        optimizer.state[parameter] = {
            "step": torch.zeros((), device=parameter.device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All parameters, in the order of their numbers in a saved state."""
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def state_of(optimizer: torch.optim.Optimizer, rates: Sequence[float]) -> dict[str, Any]:
    """What is saved of it: the arrays that a step changes, and its options as they are on every device."""
    state = optimizer.state_dict()
    groups = zip(state["param_groups"], rates, strict=True)
    return {**state, "param_groups": [{**group, "lr": rate, "capturable": False} for group, rate in groups]}


@torch.no_grad()
def load_moments(saved: Mapping[int, Mapping[str, Tensor]], own: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Write the moments of a saved state into one's own; those of parameters that were never stepped are zero."""
    for number, moments in own.items():
        for name, moment in moments.items():
            moment.copy_(saved[number][name]) if number in saved else moment.zero_()
