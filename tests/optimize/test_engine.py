"""The loop: it learns, resumes bit for bit from a saved state, and recovers from steps that are not finite."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from moments import draw

from omnitrack.errors import OmnitrackError
from omnitrack.motion.cadex import CadexField
from omnitrack.optimize import engine as engine_module
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import MOST_ROLLBACKS, Engine, LossReport
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.methods import METHODS, get_method
from omnitrack.optimize.sampler import SAMPLERS
from omnitrack.settings import FitSettings
from omnitrack.synthetic import SyntheticScene, static_scene, two_planes
from omnitrack.synthetic.maps import Ripple

REPORT_EVERY = 5  # instead of 25: these runs are short


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REPORT_EVERY", REPORT_EVERY)


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    """A strip that moves by 3 pixels per frame in front of the plane behind it."""
    return exact_correspondences(two_planes((64, 48), 6), stride=2)


def flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf of a nested state with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat(item, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from flat(item, f"{name}.{index}")
    else:
        yield name, value


def assert_same_state(a: dict[str, Any], b: dict[str, Any]) -> None:
    left, right = dict(flat(a)), dict(flat(b))
    assert left.keys() == right.keys()
    for name, value in left.items():
        same = torch.equal(value, right[name]) if isinstance(value, torch.Tensor) else value == right[name]
        assert same, name


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_loss_falls(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings, sampler: str
) -> None:
    """On a plane that bends more and more, which the camera's affine map cannot follow."""
    plane = static_scene((64, 48)).layers[0]
    bending = SyntheticScene((64, 48), 6, [replace(plane, motion=lambda t: Ripple(1.2 * t, 60.0))])
    settings = replace(small_fit, sampler=sampler, steps=60, anchors=128, hard_share=0.0)
    settings = replace(settings, cadex=replace(settings.cadex, learning_rate=5e-2))
    looks = list(Engine(exact_correspondences(bending), settings, seed=1).run())
    assert [look.step for look in looks] == list(range(5, 61, 5))
    assert looks[0].error_px > 4
    assert looks[-1].losses["loss"] < 0.6 * looks[0].losses["loss"]
    assert looks[-1].error_px < 0.6 * looks[0].error_px
    assert not any(look.rolled_back for look in looks)


def test_a_look_says_what_happened(data: Correspondences, small_fit: FitSettings) -> None:
    looks = list(Engine(data, replace(small_fit, steps=8), seed=0).run())
    assert [look.step for look in looks] == [5, 8]
    for look in looks:
        terms = {name: value for name, value in look.losses.items() if name != "loss"}
        assert look.losses["loss"] == pytest.approx(sum(terms.values()))
        assert {"flow", "depth"} <= set(terms)
        assert look.steps_per_second > 0
        assert look.learning_rate == pytest.approx(small_fit.cadex.learning_rate * (1 - look.step / 8))


def test_the_same_seed_gives_the_same_field_and_another_one_does_not(
    data: Correspondences, small_fit: FitSettings
) -> None:
    def run(seed: int) -> dict[str, Any]:
        engine = Engine(data, replace(small_fit, steps=5), seed)
        list(engine.run())
        return engine.state_dict()

    first = run(3)
    torch.rand(5)  # draws by others do not matter
    assert_same_state(first, run(3))
    assert not torch.equal(first["field"]["depth.maps"], run(4)["field"]["depth.maps"])


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_going_on_from_a_saved_state_is_exact(data: Correspondences, small_fit: FitSettings, sampler: str) -> None:
    small_fit = replace(small_fit, sampler=sampler)
    whole = Engine(data, small_fit, seed=0)
    looks = list(whole.run())

    first = Engine(data, small_fit, seed=0)
    running = first.run()
    next(running)
    state = copy.deepcopy(first.state_dict())
    assert state["step"] == REPORT_EVERY

    second = Engine(data, small_fit, seed=99)  # its initial state is replaced
    second.load_state_dict(state)
    rest = list(second.run())
    assert_same_state(whole.state_dict(), second.state_dict())
    assert [(look.step, look.losses, look.error_px) for look in rest] == [
        (look.step, look.losses, look.error_px) for look in looks[1:]
    ]
    assert state["step"] == REPORT_EVERY
    assert_same_state(state, first.state_dict())  # running on from a state does not change that state


def test_a_state_without_moments_is_one_that_was_never_stepped(data: Correspondences, small_fit: FitSettings) -> None:
    """Earlier versions stored no moments at step 0."""
    engine, fresh = Engine(data, small_fit, seed=0), Engine(data, small_fit, seed=0)
    state = copy.deepcopy(engine.state_dict())
    engine._steps(2)
    state["optimizer"]["state"] = {}
    engine.load_state_dict(state)
    assert_same_state(engine.state_dict(), fresh.state_dict())


def test_a_state_with_further_options_of_the_optimiser_is_resumed(
    data: Correspondences, small_fit: FitSettings
) -> None:
    """Earlier versions saved those of `torch.optim.Adam`; the options that both have must be equal."""
    engine = Engine(data, small_fit, seed=0)
    state = copy.deepcopy(engine.state_dict())
    for group in state["optimizer"]["param_groups"]:
        group |= {"weight_decay": 0, "amsgrad": False, "fused": True}
    engine.load_state_dict(state)
    state["optimizer"]["param_groups"][0]["betas"] = (0.9, 0.5)
    with pytest.raises(ValueError, match="another way"):
        engine.load_state_dict(state)
    del state["optimizer"]["param_groups"][0]
    with pytest.raises(ValueError, match="another way"):
        engine.load_state_dict(state)


def test_the_state_is_that_of_the_last_look_however_far_the_run_is(
    data: Correspondences, small_fit: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C comes in the middle of the steps; the state saved then must be one from which a run resumes exactly."""
    calls = Poison(lambda call: False, interrupt_at=8)
    with monkeypatch.context() as patched:
        patched.setitem(METHODS, "cadex", replace(get_method("cadex"), losses=calls))
        engine = Engine(data, small_fit, seed=0)
        with pytest.raises(KeyboardInterrupt):
            list(engine.run())
    assert engine.step == 7
    second = Engine(data, small_fit, seed=0)
    second.load_state_dict(engine.state_dict())
    assert second.step == REPORT_EVERY
    list(second.run())
    whole = Engine(data, small_fit, seed=0)
    list(whole.run())
    assert_same_state(whole.state_dict(), second.state_dict())


class Poison:
    """The losses of the method, made not finite in the steps selected by `when`."""

    def __init__(self, when: Callable[[int], bool], value: float = math.nan, interrupt_at: int = 0) -> None:
        self._losses = get_method("cadex").losses
        self._when, self._value, self._interrupt_at = when, value, interrupt_at
        self.calls = 0

    def __call__(
        self, field: CadexField, batch: Batch, settings: FitSettings, context: StepContext
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        if not torch.is_grad_enabled():  # a report, not a step
            return self._losses(field, batch, settings, context)
        self.calls += 1
        if self.calls == self._interrupt_at:
            raise KeyboardInterrupt
        terms, errors = self._losses(field, batch, settings, context)
        if self._when(self.calls):
            return {name: value * self._value for name, value in terms.items()}, errors * self._value
        return terms, errors


def finite(state: dict[str, Any]) -> bool:
    return all(torch.isfinite(v).all() for _, v in flat(state) if isinstance(v, torch.Tensor) and v.is_floating_point())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_steps_that_are_not_finite_are_undone_and_repeated_with_half_the_rate(
    data: Correspondences, small_fit: FitSettings, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    poison = Poison(lambda call: call == 6, value)
    monkeypatch.setitem(METHODS, "cadex", replace(get_method("cadex"), losses=poison))
    engine = Engine(data, small_fit, seed=0)
    looks: list[LossReport] = []
    fields = []
    for look in engine.run():
        looks.append(look)
        fields.append(engine.state_dict()["field"])
        assert finite(engine.state_dict())
    assert [(look.step, look.rolled_back) for look in looks] == [(5, False), (10, True), (10, False), (15, False)]
    assert_same_state(fields[0], fields[1])
    assert poison.calls == 20
    for look, scale in zip(looks, (1.0, 1.0, 0.5, 0.5), strict=True):
        expected = small_fit.cadex.learning_rate * scale * (1 - look.step / 15)
        assert look.learning_rate == pytest.approx(expected)
    state = engine.state_dict()
    assert state["rate_scale"] == 0.5
    assert state["optimizer"]["param_groups"][0]["lr"] == pytest.approx(
        0.5 * small_fit.cadex.learning_rate * (1 - 14 / 15)
    )


def test_other_samples_are_drawn_after_going_back(
    data: Correspondences, small_fit: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    class Recording(Poison):
        def __call__(self, field: CadexField, batch: Batch, settings: FitSettings, context: StepContext) -> Any:
            if torch.is_grad_enabled():
                drawn.append(batch.source_pixels)
            return super().__call__(field, batch, settings, context)

    monkeypatch.setitem(METHODS, "cadex", replace(get_method("cadex"), losses=Recording(lambda call: call == 3)))
    list(Engine(data, replace(small_fit, steps=5), seed=0).run())
    assert len(drawn) == 10
    assert not torch.equal(drawn[0], drawn[5])


def test_a_fit_that_stays_infinite_is_an_error(
    data: Correspondences, small_fit: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "cadex", replace(get_method("cadex"), losses=Poison(lambda call: call > 5)))
    engine = Engine(data, small_fit, seed=0)
    with pytest.raises(OmnitrackError, match="not finite from step 5 on") as caught:
        list(engine.run())
    assert caught.value.hint
    assert finite(engine.state_dict())
    assert engine.state_dict()["step"] == REPORT_EVERY, "what was learnt before is kept"


def test_that_error_comes_after_the_promised_number_of_restarts(
    data: Correspondences, small_fit: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = Poison(lambda call: True)
    monkeypatch.setitem(METHODS, "cadex", replace(get_method("cadex"), losses=poison))
    rolled_back = 0
    with pytest.raises(OmnitrackError):
        for look in Engine(data, replace(small_fit, anchors=4), seed=0).run():
            assert look.rolled_back
            rolled_back += 1
    assert rolled_back == MOST_ROLLBACKS
    assert poison.calls == REPORT_EVERY * (MOST_ROLLBACKS + 1)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_longest_gap_limits_what_is_drawn(data: Correspondences, small_fit: FitSettings, sampler: str) -> None:
    engine = Engine(data, replace(small_fit, sampler=sampler, longest_gap=2), seed=0)
    batch = draw(engine.sampler, 0.5, torch.Generator())
    gap = (batch.target_frames - batch.source_frames[:, None]).abs()[batch.confidence > 0]
    assert set(gap.tolist()) == {1, 2}


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_errors_of_regions_are_followed(data: Correspondences, small_fit: FitSettings, sampler: str) -> None:
    engine = Engine(data, replace(small_fit, sampler=sampler, steps=5), seed=0)
    before = engine.state_dict()["region_error"]
    assert (before == 1).all()
    list(engine.run())
    assert (engine.state_dict()["region_error"] != 1).any()


def test_an_unknown_method_is_named_with_a_suggestion(data: Correspondences, small_fit: FitSettings) -> None:
    with pytest.raises(OmnitrackError, match="'cadx'") as caught:
        Engine(data, replace(small_fit, method="cadx"), seed=0)
    assert caught.value.hint == "did you mean cadex?"
