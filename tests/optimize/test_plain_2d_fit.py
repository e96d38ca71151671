"""The ablation without a canonical volume as a method: it starts static, learns flow, and is restored from a state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.methods import get_method
from omnitrack.settings import FitSettings, Plain2dSettings
from omnitrack.synthetic import translating_scene, two_planes

TINY = Plain2dSettings(hidden=(16, 16), time_channels=4, code_width=8)


def fit(shape: Plain2dSettings, steps: int = 3) -> FitSettings:
    return FitSettings(method="plain_2d", steps=steps, anchors=64, targets=2, regions=4, plain_2d=shape)


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((64, 48), 6), stride=2)


@pytest.mark.parametrize("time_channels", [4, 0], ids=["features", "codes"])
def test_it_starts_still_steps_and_comes_back(data: Correspondences, time_channels: int) -> None:
    settings = fit(replace(TINY, time_channels=time_channels))
    engine, pixels = Engine(data, settings, seed=0), data.grid[::97].numpy()
    assert abs(engine.field.track(2, pixels, [0, 5]).pixels - pixels[:, None]).max() < 1e-3
    before = [p.clone() for p in engine.field.parameters()]
    assert not any(look.rolled_back for look in engine.run())
    assert any(not torch.equal(a, b) for a, b in zip(before, engine.field.parameters(), strict=True))
    again = get_method("plain_2d").restore(engine.state_dict()["field"], data.size, data.num_frames, settings)
    there, back = engine.field.track(2, pixels, [0, 5]), again.track(2, pixels, [0, 5])
    np.testing.assert_array_equal(there.pixels, back.pixels)


def test_it_learns_a_motion(exact_correspondences: Callable[..., Correspondences]) -> None:
    moving = exact_correspondences(translating_scene((2.0, -1.0), (64, 48), 4), stride=2)
    looks = list(Engine(moving, fit(TINY, steps=200), seed=0).run())
    assert looks[-1].error_px < 0.2 * looks[0].error_px


def test_every_parameter_has_a_rate(data: Correspondences) -> None:
    method, settings = get_method("plain_2d"), fit(replace(TINY, learning_rate=1.0, time_learning_rate=2.0))
    field = method.build(data, settings, None)
    rate_of = {id(p): rate for parameters, rate, _ in method.groups(field, settings) for p in parameters}
    assert {rate_of[id(p)] for p in field.network.parameters()} == {1.0}
    assert {rate_of[id(p)] for p in field.time.parameters()} == {2.0}
    assert len(rate_of) == len(list(field.parameters()))
