"""The schedules of a run at a step: decisions constant over many steps, and numbers on the device that change in each.

A step that is recorded once and replayed does not run its Python again. Numbers that change from step to step therefore
reach it as scalars in fixed memory of the device, and a branch may depend only on the stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

ROWS = 64  # steps whose numbers are copied to the device at once


@dataclass(frozen=True)
class Plan:
    """The schedules of a part of a fit at some progress of the run.

    Attributes:
        stage: Decisions by name, which stay the same for many steps.
        values: Numbers by name, in single precision.
    """

    stage: Mapping[str, bool | float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    def __or__(self, other: Plan) -> Plan:
        return Plan({**self.stage, **other.stage}, {**self.values, **other.values})


@dataclass(frozen=True)
class Moment:
    """The plan of a step, with its numbers on the device.

    Attributes:
        stage: Decisions by name, as in the plan.
        values: Scalars on the device by name.
    """

    stage: Mapping[str, bool | float]
    values: Mapping[str, Tensor]


class Clock:
    """Provides the moment and the learning rates of each step of a run, always in the same memory of the device.

    Args:
        plan: Returns the plan of the fit at a progress of the run, 0 to 1, with the same names every time.
        rates: Returns the learning rates at a progress.
        steps: Number of steps of the run.
        device: Device of the fit.

    Attributes:
        rates: The current learning rates, scalars on the device.
    """

    def __init__(
        self,
        plan: Callable[[float], Plan],
        rates: Callable[[float], Sequence[float]],
        steps: int,
        device: torch.device,
    ) -> None:
        self._plan, self._rates, self._steps = plan, rates, steps
        names = list(plan(0.0).values)
        self._values = torch.zeros(len(names), device=device)
        # torch's fused step reads rates in single precision on CUDA, and in double on a CPU, as it reads Python numbers
        precision = torch.float32 if device.type == "cuda" else torch.float64
        self._rates_now = torch.zeros(len(rates(0.0)), dtype=precision, device=device)
        self.rates = self._rates_now.unbind()
        self._views = dict(zip(names, self._values.unbind(), strict=True))
        self.refill()

    def refill(self) -> None:
        """Discard the precomputed rows, because the learning rates have changed."""
        self._known = range(0)

    def set(self, step: int) -> Moment:
        """Go to a step, without waiting for pending work of the device."""
        if step not in self._known:
            self._fill(step)
        row = step - self._known.start
        torch._foreach_copy_([self._values, self._rates_now], [self._value_rows[row], self._rate_rows[row]])
        return Moment(self._stages[row], self._views)

    def _fill(self, first: int) -> None:
        self._known = range(first, first + ROWS)
        shares = [step / self._steps for step in self._known]
        plans = [self._plan(share) for share in shares]
        self._stages = [plan.stage for plan in plans]
        self._value_rows = _rows([list(plan.values.values()) for plan in plans], self._values)
        self._rate_rows = _rows([list(self._rates(share)) for share in shares], self._rates_now)


def _rows(numbers: list[list[float]], like: Tensor) -> list[Tensor]:
    """Rows of numbers, on the device and in the precision of `like`."""
    on_host = torch.from_numpy(np.array(numbers)).to(like.dtype)
    return list(on_host.to(like.device, non_blocking=True).unbind())
