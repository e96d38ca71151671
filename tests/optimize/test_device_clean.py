"""Steps run on one device, from the draw to the optimiser: no mixed devices, and no values read by the host.

The device is pretended (`pretended_gpu`): it computes on the CPU, so that results can be compared, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils import backend_registration

from omnitrack.optimize.adam import Adam
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.moment import Clock
from omnitrack.settings import FitSettings, OmniMotionSettings
from omnitrack.synthetic import two_planes

if not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"):
    pytest.skip("this torch cannot pretend to have a device", allow_module_level=True)
from pretended_gpu import DEVICE, OnDevice, OnDeviceGenerator, PretendedGpu


def move(thing: Any, seen: dict[int, Any]) -> None:
    """Move all tensors of an object of omnitrack, and of the objects in it; shared tensors stay shared."""
    if id(thing) in seen:
        return
    seen[id(thing)] = thing
    for name, value in list(vars(thing).items()):
        if isinstance(value, Tensor):
            if id(value) not in seen:
                seen[id(value)] = OnDevice(value.detach().clone())
            object.__setattr__(thing, name, seen[id(value)])
        elif type(value).__module__.startswith("omnitrack") and hasattr(value, "__dict__"):
            move(value, seen)


def moved(engine: Engine) -> Engine:
    """Return an engine with everything that a step reads or changes on the device."""
    for module in engine.field.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = nn.Parameter(OnDevice(parameter.detach().clone()))
        for name, buffer in list(module._buffers.items()):
            module._buffers[name] = OnDevice(buffer.clone())
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                setattr(module, name, OnDevice(value.clone()))
    for part in (engine.sampler, engine._matches):
        if part is not None:
            move(part, {})
    engine._clock = Clock(engine._plan, engine._rates, engine.settings.steps, DEVICE)
    groups = engine._method.groups(engine.field, engine.settings)
    engine._optimizer = Adam(zip([p for p, _, _ in groups], engine._clock.rates, strict=True), 20)
    engine._generator = OnDeviceGenerator()
    engine._generator.manual_seed(0)
    return engine


@pytest.mark.parametrize("sampler", ["regions", "pairs"])
@pytest.mark.parametrize("method", METHODS)
def test_steps_stay_on_the_device(
    method: str,
    sampler: str,
    exact_correspondences: Callable[..., Correspondences],
    small_fit: FitSettings,
    tiny_omnimotion: OmniMotionSettings,
) -> None:
    data = exact_correspondences(two_planes((32, 24), 4))
    settings = replace(small_fit, method=method, sampler=sampler, matches=16, omnimotion=tiny_omnimotion)
    rows = np.array([[0, 3, 4, 3, 9, 4, 1], [0, 8, 9, 3, 14, 9, 1], [1, 20, 10, 3, 24, 10, 1]], np.float32)
    here, there = (
        Engine(data, settings, seed=0, matches=LongRangeMatches.from_rows(rows, torch.device("cpu"))) for _ in range(2)
    )
    expected = here._steps(2)
    with PretendedGpu():
        found = moved(there)._steps(2)
    assert found.keys() == expected.keys() and "matches" in found
    for name, value in found.items():
        assert isinstance(value, OnDevice) and torch.equal(value.held, expected[name])
    for ours, theirs in zip(there.field.parameters(), here.field.parameters(), strict=True):
        assert isinstance(ours.data, OnDevice) and torch.equal(ours.data.held, theirs.data)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (lambda x: x + torch.ones(3), "two devices"),
        (lambda x: x.sum().item(), "reads what is on the device"),
        (lambda x: x.cpu(), "copies to the host"),
        (lambda x: x[x > 0], "reads what is on the device"),
        (lambda x: torch.ones(3)[x.long()], "two devices"),
    ],
)
def test_the_device_notices(job: Callable[[Tensor], Any], said: str) -> None:
    x = OnDevice(torch.ones(3))
    with PretendedGpu():
        assert torch.equal((x * 2 + torch.ones(3, device=x.device)).held, torch.full((3,), 3.0))
        with pytest.raises(AssertionError, match=said):
            job(x)
