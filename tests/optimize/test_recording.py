"""Recorded steps equal the written steps to the last bit, on pretended graphs (`pretended_graph`)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pretended_graph import PretendedRecorder

from omnitrack.optimize import engine as engine_module
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine, LossReport
from omnitrack.optimize.matches import LongRangeMatches
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.recording import WARM_UP, Recording
from omnitrack.optimize.sampler import SAMPLERS
from omnitrack.settings import FitSettings, OmniMotionSettings
from omnitrack.synthetic import two_planes

STEPS = 30
STAGES = 3  # long-range matches have a lower weight from 1/22 of the run on, and the lowest from 2/22 on
ALL_TERMS = {
    "photometric_weight": 1.0,
    "photometric_gradient_weight": 0.5,
    "smoothness_weight": 0.1,
    "distortion_weight": 0.3,
    "depth_prior_weight": 0.2,
    "guided_share": 0.5,
}


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((32, 24), 26), stride=4, reach=6)


@pytest.fixture
def settings(small_fit: FitSettings, tiny_omnimotion: OmniMotionSettings) -> FitSettings:
    return replace(small_fit, steps=STEPS, matches=16, omnimotion=replace(tiny_omnimotion, **ALL_TERMS))


@pytest.fixture
def matches() -> LongRangeMatches | None:
    rows = np.array([[0, 3, 4, 3, 9, 4, 1], [0, 8, 9, 3, 14, 9, 1], [1, 20, 10, 3, 24, 10, 1]], np.float32)
    return LongRangeMatches.from_rows(rows, torch.device("cpu"))


def recorded(engine: Engine, recorder: PretendedRecorder) -> Engine:
    """Return the engine, now with a recording."""
    engine._recording = Recording(recorder)
    return engine


def without_times(looks: Iterator[LossReport]) -> list[Any]:
    return [replace(look, steps_per_second=0.0) for look in looks]


def places(engine: Engine) -> list[int]:
    """Return the addresses of everything that a step reads or changes."""
    live = engine._live()
    moments = [value for moments in live["optimizer"]["state"].values() for value in moments.values()]
    numbers = [*engine._clock.set(engine.step).values.values(), *engine._clock.rates, *engine._sums.values()]
    return [t.data_ptr() for t in [*live["field"].values(), *moments, live["region_error"], *numbers]]


def same_end(one: Engine, other: Engine) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    fields = all(torch.equal(value, theirs["field"][name]) for name, value in ours["field"].items())
    return fields and torch.equal(ours["region_error"], theirs["region_error"])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("method", METHODS)
def test_replayed_steps_are_those_that_are_written(
    method: str, sampler: str, data: Correspondences, settings: FitSettings, matches: LongRangeMatches
) -> None:
    """Over a run in which everything that can change does: matches, mining, guidance, learning rates, frame windows."""
    settings, recorder = replace(settings, method=method, sampler=sampler), PretendedRecorder()
    plain = Engine(data, settings, 0, matches=matches, pins=matches)
    replayed = recorded(Engine(data, settings, 0, matches=matches, pins=matches), recorder)
    assert without_times(replayed.run()) == without_times(plain.run())
    assert same_end(replayed, plain)
    stages = STAGES + (sampler == "pairs") + (method == "omnimotion")  # mining begins, guidance ends
    assert recorder.warm_ups <= WARM_UP * stages and len(recorder.graphs) <= stages
    assert recorder.warm_ups + sum(graph.replays for graph in recorder.graphs) == STEPS
    assert sum(graph.replays for graph in recorder.graphs) >= STEPS / 2


def test_everything_stays_in_its_place(data: Correspondences, settings: FitSettings) -> None:
    """Through reports, going back and loading a state, a recording reads and writes the same memory."""
    engine = recorded(Engine(data, settings, 0), recorder := PretendedRecorder())
    start = copy.deepcopy(engine.state_dict())
    sums = engine._steps(5)
    before = places(engine)
    engine.look(sums, 5)
    engine.keep()
    engine.keep()
    with torch.no_grad():
        next(engine.field.parameters()).fill_(float("nan"))
    engine._roll_back()
    assert engine.step == 5 and places(engine) == before
    engine.load_state_dict(start)
    assert engine.step == 0 and places(engine) == before
    engine._steps(5)
    assert places(engine) == before
    assert len(recorder.graphs) == 1 and recorder.graphs[0].replays == 5 - WARM_UP + 5
    plain = Engine(data, settings, 0)
    plain._steps(5)
    engine.keep()
    plain.keep()
    assert same_end(engine, plain), "the same five steps from the same state"


def test_going_back_and_on_is_the_same_by_replays(
    data: Correspondences, settings: FitSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that are not finite are undone and repeated with half the learning rate, which no recording contains."""
    monkeypatch.setattr(engine_module, "REPORT_EVERY", 10)

    def run(engine: Engine) -> list[Any]:
        looks = []
        for look in engine.run():
            looks.append(replace(look, steps_per_second=0.0))
            if look.step == 20 and not any(seen.rolled_back for seen in looks):
                with torch.no_grad():
                    next(engine.field.parameters()).fill_(float("nan"))
        return looks

    plain = Engine(data, settings, 0)
    replayed = recorded(Engine(data, settings, 0), recorder := PretendedRecorder())
    ours, theirs = run(replayed), run(plain)
    assert str(ours) == str(theirs), "NaN is not equal to itself"
    assert [look.step for look in ours if look.rolled_back] == [30]
    assert same_end(replayed, plain) and replayed.state_dict()["rate_scale"] == 0.5
    assert len(recorder.graphs) == 1


def test_a_step_that_cannot_be_recorded_is_taken_as_it_is_written(data: Correspondences, settings: FitSettings) -> None:
    said: list[str] = []
    plain, failing = Engine(data, settings, 0), Engine(data, settings, 0, warn=said.append)
    recorded(failing, PretendedRecorder(failing=True))
    assert without_times(failing.run()) == without_times(plain.run())
    assert same_end(failing, plain)
    assert said == [
        "the fit is slower than it could be: a step cannot be recorded as one graph"
        " (operation not permitted when stream is capturing)"
    ]


def test_what_the_host_gives_a_recorded_step_stays_what_it_was() -> None:
    """The pretended graph detects a step that is not made for it."""
    total, steps = torch.zeros(()), Recording(recorder := PretendedRecorder())
    generator = torch.Generator().manual_seed(0)
    drawn = []

    def step(number: int) -> None:
        total.add_(number)
        drawn.append(torch.rand((), generator=generator))

    for number in range(WARM_UP + 3):
        steps.take("stage", lambda number=number: step(number), generator)
    assert total == sum(range(WARM_UP)) + 3 * WARM_UP, "the number of the recording again and again"
    expected = torch.rand(WARM_UP + 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[-1], expected[-1]), "random numbers are new ones, in the place of the recording"
    steps.take("another", lambda: step(100), generator)
    assert total == sum(range(WARM_UP)) + 3 * WARM_UP + 100 and len(recorder.graphs) == 1
    with pytest.raises(AssertionError, match="waits for the device"):
        recorder.record(lambda: float(total.item()), generator)
