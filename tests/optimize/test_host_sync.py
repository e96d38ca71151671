"""A step never waits for the device: none of its operations reads a tensor's values on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from device_watch import NoHostSync
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.sampler import SAMPLERS
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("begin", [0, 7])  # of 15 steps: before and after errors matter and schedules have begun
@pytest.mark.parametrize("flow_gradient_weight", [0.0, 0.1])  # without and with neighbours
def test_steps_never_wait(
    exact_correspondences: Callable[..., Correspondences],
    small_fit: FitSettings,
    method: str,
    sampler: str,
    begin: int,
    flow_gradient_weight: float,
) -> None:
    data = exact_correspondences(two_planes((32, 24), 4))
    settings = replace(small_fit, method=method, sampler=sampler, flow_gradient_weight=flow_gradient_weight)
    engine = Engine(data, settings, seed=0)
    engine._steps(1)  # the first step of a process may fill caches
    engine.step = begin
    with NoHostSync():
        sums = engine._steps(begin + 2)
    assert sums["flow"] > 0


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: float(x[0]),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: x.nonzero(),
        lambda x: torch.where(x > 0),
        lambda x: x.index_put_((x > 0,), torch.zeros_like(x[0])),
        lambda x: x.repeat_interleave(x.long()),
        lambda x: x.unique(),
        lambda x: torch.equal(x, x),
        lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
    ],
)
def test_the_watchman_sees_it(wait: Callable[[Tensor], Any]) -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    wait(x.clone())
    with pytest.raises(AssertionError, match="waits for the device"), NoHostSync():
        wait(x)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("begin", [0, 7])  # of 15 steps: all matches, and inliers only
def test_steps_with_matches_never_wait(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings, method: str, begin: int
) -> None:
    rows = np.array([[0, 3, 4, 3, 9, 4, 1], [0, 8, 9, 3, 14, 9, 1], [1, 20, 10, 3, 24, 10, 1]], np.float32)
    settings = replace(small_fit, method=method, matches=16)
    data = exact_correspondences(two_planes((32, 24), 4))
    engine = Engine(data, settings, seed=0, matches=LongRangeMatches.from_rows(rows, torch.device("cpu")))
    engine._steps(1)
    engine.step = begin
    with NoHostSync():
        sums = engine._steps(begin + 2)
    assert sums["matches"] > 0


def test_the_watchman_sees_backward_passes() -> None:
    class Waits(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * gradient.sum().item()

    x = torch.ones(3, requires_grad=True)
    with pytest.raises(AssertionError, match="waits for the device"), NoHostSync():
        Waits.apply(x).sum().backward()
