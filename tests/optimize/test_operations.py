"""The operations of a fit on its device stay within a budget, do not grow with pairs, and stay on the device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from device_watch import Operations

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes

# Counts when these tests were written, plus a tenth: one more in every layer fails, one more in total does not
STEP = {"cadex": 1300, "omnimotion": 1750}
SETUP, SETUP_WAITS, LOOK = 3500, 40, 450


def counted(job: Callable[[], object]) -> Operations:
    with Operations() as seen:
        job()
    return seen


@pytest.mark.parametrize("method", STEP)
def test_a_step_has_a_budget(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings, method: str
) -> None:
    engine = Engine(exact_correspondences(two_planes((32, 24), 4)), replace(small_fit, method=method), seed=0)
    engine._steps(1)
    seen = counted(lambda: engine._steps(2))
    assert 100 < seen.count <= STEP[method]
    assert seen.waiting == 0


def test_a_look_reads_all_numbers_at_once(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    engine = Engine(exact_correspondences(two_planes((32, 24), 4)), small_fit, seed=0)
    sums = engine._steps(1)
    engine.keep()
    engine.keep()
    seen = counted(lambda: engine.look(sums, 1))
    assert seen.waiting == 0, "but for the one list, which is read without being dispatched"
    assert seen.count <= LOOK
    assert counted(engine.keep).count <= 3


def test_setting_up_does_not_grow_with_pairs(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    few = counted(lambda: Engine(exact_correspondences(two_planes((32, 24), 4), reach=1), small_fit, seed=0))
    data = exact_correspondences(two_planes((32, 24), 12), reach=2)
    assert int((data.targets >= 0).sum()) == 42
    many = counted(lambda: Engine(data, small_fit, seed=0))
    assert many.count <= SETUP and many.waiting <= SETUP_WAITS
    assert many.waiting <= few.waiting
    assert many.count < few.count + 500, "some for twice as many slots, and for the sources' tables"


def test_the_counter_counts() -> None:
    def job() -> None:
        x = torch.ones(4, 4)  # 1
        (x.t() @ x).view(-1)[0].item()  # a product, and a number that is read by the host

    seen = counted(job)
    assert (seen.count, seen.waiting) == (3, 1)
