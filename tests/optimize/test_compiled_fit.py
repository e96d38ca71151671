"""A fit with the compiled couplings begins like one with those in torch, and resumes where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from omnitrack.motion.fused import fused as compiled
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes

pytest.importorskip("numba", reason="the compiled core is the extra fast")


@pytest.fixture
def engine(exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings) -> Callable[[str], Engine]:
    """Return a function that makes an engine for a method."""
    data = exact_correspondences(two_planes((32, 24), 4))
    return lambda method: Engine(data, replace(small_fit, method=method), seed=0)


@pytest.mark.parametrize("method", ["cadex", "omnimotion"])
def test_the_first_steps_are_those_of_torch(
    method: str, engine: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the flow term, which is smooth: the depth terms have kinks, where a rounded bit reverses their gradients."""
    plain = engine(method)._steps(5)
    monkeypatch.setattr("omnitrack.motion.warp.fused", compiled.fused)
    ours = engine(method)
    assert isinstance(ours.field.warp.time_columns(), compiled.FusedLayers)
    assert float(ours._steps(5)["flow"]) == pytest.approx(float(plain["flow"]), rel=1e-3)


def test_a_seed_reproduces_a_run(engine: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnitrack.motion.warp.fused", compiled.fused)
    first, second = engine("cadex"), engine("cadex")
    first._steps(8)
    second._steps(4)
    third = engine("cadex")
    second.keep()
    third.load_state_dict(second.state_dict())
    third._steps(8)
    for a, b in zip(first.field.parameters(), third.field.parameters(), strict=True):
        assert torch.equal(a, b)
