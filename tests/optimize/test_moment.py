"""The clock of a run: the values of its plan at each step, on the device, always in the same memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from device_watch import NoHostSync

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.moment import ROWS, Clock, Plan
from omnitrack.optimize.sampler import SAMPLERS
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes

STEPS = 1000


def plan(progress: float) -> Plan:
    return Plan({"late": progress >= 0.5}, {"share": progress, "frame": int(progress * 300)})


def clock(rates: Callable[[float], list[float]] = lambda progress: [0.1**progress, 3.0]) -> Clock:
    return Clock(plan, rates, STEPS, torch.device("cpu"))


def test_every_step_has_the_numbers_of_its_plan() -> None:
    """In order, across the rows that are copied to the device at once, and back."""
    ours = clock()
    for step in [*range(2 * ROWS + 3), 7, STEPS - 1, STEPS, 499, 500]:
        moment, expected = ours.set(step), plan(step / STEPS)
        assert moment.stage == {"late": step >= 500}
        values = {name: value.item() for name, value in moment.values.items()}
        assert values == {name: torch.tensor(float(value)).item() for name, value in expected.values.items()}
        assert [rate.item() for rate in ours.rates] == [0.1 ** (step / STEPS), 3.0], "in double precision on a CPU"


def test_the_numbers_stay_in_their_places() -> None:
    ours = clock()
    before = [t.data_ptr() for t in [*ours.set(0).values.values(), *ours.rates]]
    for step in (1, ROWS + 1, 3):
        moment = ours.set(step)
        assert [t.data_ptr() for t in [*moment.values.values(), *ours.rates]] == before


def test_most_steps_need_nothing_of_the_host() -> None:
    ours = clock()
    ours.set(5)
    with NoHostSync():
        assert ours.set(5 + ROWS - 1).stage == {"late": False}
    with pytest.raises(AssertionError, match="waits"), NoHostSync():
        ours.set(5 + ROWS)  # copies a small array to the device


def test_new_learning_rates_hold_from_the_next_step_on() -> None:
    scale = [1.0]
    ours = clock(lambda progress: [scale[0] * progress])
    ours.set(10)
    scale[0] = 0.5
    ours.refill()
    ours.set(20)
    assert ours.rates[0].item() == 0.5 * 20 / STEPS


def test_plans_are_put_together() -> None:
    both = Plan({"a": True}, {"x": 1.0}) | Plan({"b": 2.0}, {"x": 3.0, "y": 4.0})
    assert both == Plan({"a": True, "b": 2.0}, {"x": 3.0, "y": 4.0})


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_run_has_few_stages_and_always_the_same_names(
    method: str, sampler: str, exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    """Each stage costs a recording; a name that appears or disappears would have no memory on the device."""
    settings = replace(small_fit, method=method, sampler=sampler)
    engine = Engine(exact_correspondences(two_planes((32, 24), 4), stride=4), settings, 0)
    plans = [engine._plan(step / STEPS) for step in range(STEPS + 1)]
    assert len({tuple(one.values) for one in plans}) == 1
    stages = [tuple(one.stage.items()) for one in plans]
    changes = sum(before != after for before, after in itertools.pairwise(stages))
    assert changes == len(set(stages)) - 1 <= 2
