"""Adam whose state exists from the start and stays at the same addresses, so that a recorded step can use it.

Source:
    Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015; the step itself is torch's fused one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

FIRST_MOMENT = 0.9  # share of Adam's mean gradient that each step keeps
EPSILON = 1e-8


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate of their own.

    Attributes:
        parameters: The parameters.
        rate: Their learning rate, a scalar on the device that may change.
        moments: For each parameter, its number of steps, its mean gradient and its mean squared gradient.
    """

    parameters: list[Tensor]
    rate: Tensor
    moments: list[dict[str, Tensor]]


class Adam:
    """Adam without the class of torch, which imports torch's compiler when it is made: seconds of every fit.

    Args:
        groups: Parameters, and their learning rate.
        second_moment_steps: Number of steps over which squared gradients are averaged.

    Attributes:
        groups: The parameters, their rates and moments.
        parameters: All parameters, in the order of their numbers in a saved state.
    """

    def __init__(self, groups: Iterable[tuple[list[Tensor], Tensor]], second_moment_steps: int) -> None:
        self.groups = [Group(parameters, rate, [_moments(p) for p in parameters]) for parameters, rate in groups]
        self.parameters = [parameter for group in self.groups for parameter in group.parameters]
        self._betas = FIRST_MOMENT, 1 - 1 / second_moment_steps

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient, in place."""
        beta1, beta2 = self._betas
        for group in self.groups:
            pairs = zip(group.parameters, group.moments, strict=True)
            moved = [(parameter, parameter.grad, own) for parameter, own in pairs if parameter.grad is not None]
            if not moved:
                continue
            adam(
                [parameter for parameter, _, _ in moved],
                [gradient for _, gradient, _ in moved],
                [own["exp_avg"] for _, _, own in moved],
                [own["exp_avg_sq"] for _, _, own in moved],
                [],
                [own["step"] for _, _, own in moved],
                fused=True,
                capturable=group.rate.device.type == "cuda",
                amsgrad=False,
                beta1=beta1,
                beta2=beta2,
                lr=group.rate,
                weight_decay=0.0,
                eps=EPSILON,
                maximize=False,
            )

    def state_dict(self, rates: Sequence[float]) -> dict[str, Any]:
        """The state to save, independent of the device, in the form of `torch.optim.Adam`.

        Args:
            rates: The learning rate of each group.

        Returns:
            ``state``, the moments by number of the parameter, whose arrays a step changes; and ``param_groups``.
        """
        numbers, groups = itertools.count(), []
        for group, rate in zip(self.groups, rates, strict=True):
            params = [next(numbers) for _ in group.parameters]
            groups.append({"lr": rate, "betas": self._betas, "eps": EPSILON, "params": params})
        moments = (own for group in self.groups for own in group.moments)
        return {"state": dict(enumerate(moments)), "param_groups": groups}


def _moments(parameter: Tensor) -> dict[str, Tensor]:
    """The moments of a parameter before its first step."""
    return {
        "step": torch.zeros((), device=parameter.device),
        "exp_avg": torch.zeros_like(parameter, requires_grad=False),
        "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
    }


@torch.no_grad()
def load_moments(saved: Mapping[int, Mapping[str, Tensor]], own: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Write the moments of a saved state into an optimiser's own; moments that were not saved become zero."""
    for number, moments in own.items():
        for name, moment in moments.items():
            moment.copy_(saved[number][name]) if number in saved else moment.zero_()
