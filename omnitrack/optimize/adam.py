"""Adam whose state exists from the start and stays at the same addresses, so that a recorded step can use it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

FIRST_MOMENT = 0.9  # share of Adam's mean gradient that each step keeps


def make_adam(groups: Iterable[tuple[list[Tensor], Tensor]], second_moment_steps: int) -> torch.optim.Adam:
    """Make an optimiser whose state exists before the first step.

    Args:
        groups: Parameters, and their learning rate, a scalar on the device that may change.
        second_moment_steps: Number of steps over which squared gradients are averaged.
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
    """The state to save: the arrays that a step changes, and the options, independent of the device."""
    state = optimizer.state_dict()
    groups = zip(state["param_groups"], rates, strict=True)
    return {**state, "param_groups": [{**group, "lr": rate, "capturable": False} for group, rate in groups]}


@torch.no_grad()
def load_moments(saved: Mapping[int, Mapping[str, Tensor]], own: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Write the moments of a saved state into an optimiser's own; moments that were not saved become zero."""
    for number, moments in own.items():
        for name, moment in moments.items():
            moment.copy_(saved[number][name]) if number in saved else moment.zero_()
