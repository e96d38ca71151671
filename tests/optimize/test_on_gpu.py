"""A fit on a GPU: replayed steps against written ones, the device against the CPU, time and memory, and a whole run.

pytest -n 0 -s -m gpu
"""

from __future__ import annotations

import copy
import dataclasses
import statistics
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moments import moment
from torch import Tensor

from omnitrack.motion.fused.fused import fused
from omnitrack.optimize import ray_batches
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.recording import WARM_UP
from omnitrack.presets import preset_settings
from omnitrack.settings import FitSettings, OmniMotionSettings, Settings
from omnitrack.stages.run import run_all
from omnitrack.synthetic import two_planes
from omnitrack.tracks.files import load_tracks

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
from step_cost import made_up, seconds

DEVICE = torch.device("cuda")
STEPS = 50
MEMORY_BUDGET = 8e9  # bytes of GPU memory, for the fit of a clip
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU here")]


@pytest.fixture(params=["torch", "compiled"], autouse=True)
def reference_layers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test the couplings in torch and in the kernels, instead of in torch alone as in other tests of fits."""
    monkeypatch.setattr("omnitrack.motion.warp.fused", fused if request.param == "compiled" else lambda *_: None)


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((64, 48), 26), stride=4, reach=6)


@pytest.fixture
def settings(small_fit: FitSettings, tiny_omnimotion: OmniMotionSettings) -> FitSettings:
    return replace(small_fit, steps=STEPS, matches=16, omnimotion=tiny_omnimotion)


def there(thing: Any) -> Any:
    """Return a dataclass of arrays on the device."""
    moved = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}
    return replace(thing, **{name: value.to(DEVICE) for name, value in moved.items() if isinstance(value, Tensor)})


def fitted(data: Correspondences, settings: FitSettings, replayed: bool) -> tuple[Engine, list[tuple[float, float]]]:
    """Return a finished engine, and the losses and errors of its reports."""
    rows = np.array([[0, 3, 4, 3, 9, 4, 1], [0, 8, 9, 3, 14, 9, 1], [1, 20, 10, 3, 24, 10, 1]], np.float32)
    engine = Engine(data, settings, 0, matches=LongRangeMatches.from_rows(rows, DEVICE), warn=pytest.fail)
    if not replayed:
        engine._recording = None
    return engine, [(look.losses["loss"], look.error_px) for look in engine.run()]


@pytest.mark.parametrize("method", METHODS)
def test_replayed_steps_are_those_that_are_written(method: str, data: Correspondences, settings: FitSettings) -> None:
    """Equal except for the order in which programs add to the same number; the random numbers are the same."""
    settings = replace(settings, method=method)
    written, losses = fitted(there(data), settings, False)
    replayed, found = fitted(there(data), settings, True)
    assert replayed._recording is not None and replayed._recording._graph is not None
    assert torch.equal(replayed._generator.get_state(), written._generator.get_state())
    np.testing.assert_allclose(found, losses, rtol=0.02, atol=0.02)
    assert found[-1] != found[0], "replays change something"


def test_replays_go_on_from_a_loaded_state(data: Correspondences, settings: FitSettings) -> None:
    """What was recorded before the state was loaded reads it; the random numbers are those that followed it."""
    engine = Engine(there(data), replace(settings, matches=0), 0, warn=pytest.fail)
    running = engine.run()
    next(running)
    state = copy.deepcopy(engine.state_dict())
    first, end = next(running), engine._generator.get_state()
    graph = engine._recording._graph  # type: ignore[union-attr]
    engine.load_state_dict(state)
    second = next(engine.run())
    assert torch.equal(engine._generator.get_state(), end)
    assert engine._recording._graph is graph  # type: ignore[union-attr]
    assert second.error_px == pytest.approx(first.error_px, rel=0.02, abs=0.02)
    assert second.losses == pytest.approx(first.losses, rel=0.02, abs=0.02)


def test_a_step_that_cannot_be_recorded_is_taken_as_it_is_written(
    data: Correspondences, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed recording leaves nothing behind: another fit records its steps."""
    cadex, said, settings = METHODS["cadex"], [], replace(settings, matches=0)

    def waiting(*given: Any) -> tuple[dict[str, Tensor], Tensor]:
        terms, errors = cadex.losses(*given)
        assert terms["flow"].item() >= 0
        return terms, errors

    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "cadex", replace(cadex, losses=waiting))
        engine = Engine(there(data), settings, 0, warn=said.append)
        failed = [look.losses["loss"] for look in engine.run()]
    assert len(said) == 1 and "cannot be recorded" in said[0]
    written = Engine(there(data), settings, 0)
    written._recording = None
    np.testing.assert_allclose(failed, [look.losses["loss"] for look in written.run()], rtol=0.02, atol=0.02)
    list(Engine(there(data), settings, 0, warn=pytest.fail).run())


@pytest.mark.parametrize("method", METHODS)
def test_losses_and_gradients_are_those_of_a_cpu(
    method: str, data: Correspondences, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, method=method, steps=10)
    draw = ray_batches.stratified_depths

    def same_depths(rays: int, near: float, far: float, count: int, generator: torch.Generator) -> Tensor:
        return draw(rays, near, far, count, torch.Generator().manual_seed(0)).to(generator.device)

    monkeypatch.setattr(ray_batches, "stratified_depths", same_depths)
    engine = Engine(data, settings, 0)
    list(engine.run())
    now = moment(0.3, settings)
    batch = engine.sampler.draw(engine._clock.set(3), torch.Generator().manual_seed(0))
    results = []
    for device in (torch.device("cpu"), DEVICE):
        field, own = copy.deepcopy(engine.field).to(device), batch if device.type == "cpu" else there(batch)
        own_now = replace(now, values={name: value.to(device) for name, value in now.values.items()})
        context = StepContext(own_now, torch.Generator(device))
        terms, errors = METHODS[method].losses(field, own, settings, context)
        total = torch.stack(list(terms.values()))
        parameters = [p for p in field.parameters() if p.requires_grad]
        gradients = torch.autograd.grad(total.sum(), parameters, allow_unused=True)
        results.append([total.detach(), errors.detach(), *(g for g in gradients if g is not None)])
    for expected, found in zip(*results, strict=True):
        scale = float(expected.abs().max().clamp_min(1e-3))
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=2e-3 * scale)


@pytest.mark.parametrize("preset", [None, "paper"])
@pytest.mark.parametrize("method", ["cadex", "omnimotion"])
def test_what_a_step_takes(method: str, preset: str | None, request: pytest.FixtureRequest) -> None:
    """Milliseconds of written and replayed steps, and peak memory: printed, and the memory is within its budget."""
    torch.cuda.reset_peak_memory_stats(DEVICE)
    took = {}
    for way in ("written", "replayed"):
        engine = Engine(made_up(DEVICE), preset_settings(preset, method).fit, 0, warn=pytest.fail)
        if way == "written":
            engine._recording = None
        engine._steps(WARM_UP + 1)
        times = [seconds(lambda e=engine: e._steps(e.step + 5), DEVICE) / 5 for _ in range(5)]  # type: ignore[misc]
        took[way] = 1000 * statistics.median(times)
        assert all(torch.isfinite(p).all() for p in engine.field.parameters())
    memory = torch.cuda.max_memory_allocated(DEVICE)
    name = f"{method}, {preset or 'default'}, couplings {request.node.callspec.params['reference_layers']}"
    print(f"\n{name}: {took['written']:.2f} ms written, {took['replayed']:.2f} ms replayed, {memory / 1e9:.2f} GB")
    assert memory < MEMORY_BUDGET


def test_a_whole_run(video_file: Path, tmp_path: Path, small_fit: FitSettings) -> None:
    """A texture that moves by (2, 1) pixels per frame, from the video to tracks."""
    report = run_all(
        video_file, tmp_path / "project", replace(Settings(), fit=replace(small_fit, steps=100)), device=str(DEVICE)
    )
    tracks = load_tracks(report.tracks)
    moved = tracks.tracks - tracks.tracks[:, :1]
    expected = np.arange(report.frames)[:, None] * np.array([2.0, 1.0])
    assert np.median(np.linalg.norm(moved - expected, axis=-1)[tracks.visible]) < 0.5
