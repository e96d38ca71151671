"""Where in a run a step is: decisions that hold for many steps, and numbers on the device that change with each.

A step that is recorded once and replayed runs none of its Python again. So what changes from step to step reaches it as
scalars on the device, always the same ones, and a branch may depend on nothing but the stage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

ROWS = 64  # steps whose numbers are brought to the device at once


@dataclass(frozen=True)
class Plan:
    """What a part of a fit goes by at some progress of the run.

    Attributes:
        stage: Decisions by name, which stay the same for many steps.
        values: Numbers by name, of single precision.
    """

    stage: Mapping[str, bool | float] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    def __or__(self, other: Plan) -> Plan:
        return Plan({**self.stage, **other.stage}, {**self.values, **other.values})


@dataclass(frozen=True)
class Moment:
    """The same for a step.

    Attributes:
        stage: As the plan's.
        values: Scalars on the device.
    """

    stage: Mapping[str, bool | float]
    values: Mapping[str, Tensor]


class Clock:
    """Tells a run's steps where they are, in the same places of the device each time.

    Args:
        plan: What the parts of the fit go by at a progress of the run, 0 to 1: the same names every time.
        rates: The learning rates at a progress.
        steps: Of the run.
        device: Of the fit.

    Attributes:
        rates: The learning rates now, scalars on the device.
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
        # torch's fused step reads them in single precision on CUDA, and in double on a CPU, as it does numbers
        precision = torch.float32 if device.type == "cuda" else torch.float64
        self._rates_now = torch.zeros(len(rates(0.0)), dtype=precision, device=device)
        self.rates = self._rates_now.unbind()
        self._views = dict(zip(names, self._values.unbind(), strict=True))
        self.refill()

    def refill(self) -> None:
        """Learning rates have changed: work them out again."""
        self._known = range(0)

    def set(self, step: int) -> Moment:
        """Go to a step; nothing waits for what the device has still to do."""
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
    """Rows of numbers where another array is."""
    on_host = torch.from_numpy(np.array(numbers)).to(like.dtype)
    return list(on_host.to(like.device, non_blocking=True).unbind())
