"""Long-range matches in a fit: how they are drawn, how they act, and that a fit without them is unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from moments import draw, moment
from numpy.typing import NDArray

from omnitrack.optimize import engine as engine_module
from omnitrack.optimize.batch import Batch
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.matches import LongRangeMatches, inliers
from omnitrack.optimize.method import StepContext
from omnitrack.optimize.methods import METHODS, get_method
from omnitrack.optimize.sampler import make_sampler
from omnitrack.optimize.schedule import match_weight, only_inliers
from omnitrack.settings import FitSettings
from omnitrack.synthetic import SyntheticScene, static_scene, two_planes
from omnitrack.synthetic.maps import Ripple

CPU = torch.device("cpu")
SIZE, FRAMES = (64, 48), 6
EARLY, LATE = (StepContext(moment(share), torch.Generator().manual_seed(0)) for share in (0.0, 0.5))


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "REPORT_EVERY", 5)


@pytest.fixture
def scene() -> SyntheticScene:
    return two_planes(SIZE, FRAMES)


@pytest.fixture
def data(scene: SyntheticScene, exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    """Adjacent frames only, so that only matches reach far."""
    return exact_correspondences(scene, stride=4, reach=1)


def true_rows(scene: SyntheticScene, number: int = 40) -> NDArray[np.float32]:
    """Return exact matches of frame 0 with frames 4 and 5."""
    rng = np.random.default_rng(0)
    start = rng.uniform(4, 44, (number, 2))
    tracks, visible = scene.tracks(np.column_stack([np.zeros(number), start]))
    rows = [
        np.column_stack([np.zeros(number), start, np.full(number, t), tracks[:, t], np.ones(number)])[visible[:, t]]
        for t in (4, 5)
    ]
    return np.concatenate(rows).astype(np.float32)


def matches_of(rows: NDArray[np.float32]) -> LongRangeMatches:
    found = LongRangeMatches.from_rows(rows, CPU)
    assert found is not None
    return found


def flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{name}.{key}").items()}
    if isinstance(value, (list, tuple)):
        return {k: v for key, item in enumerate(value) for k, v in flat(item, f"{name}.{key}").items()}
    return {name: value}


def same_state(a: dict[str, Any], b: dict[str, Any]) -> bool:
    left, right = flat(a), flat(b)
    return left.keys() == right.keys() and all(
        torch.equal(v, right[k]) if isinstance(v, torch.Tensor) else v == right[k] for k, v in left.items()
    )


# --- drawing -----------------------------------------------------------------------------------------------------
ROWS = np.array(
    [
        [3, 30, 31, 20, 32, 33, 0.9],
        [0, 0, 1, 10, 2, 3, 0.9],
        [0, 10, 11, 12, 12, 13, 0.8],
        [0, 20, 21, 12, 22, 23, 0.7],
        [0, 40, 41, 12, 42, 43, 0.7],
    ],
    np.float32,
)


def drawn_rows(batch: Batch) -> set[tuple[float, ...]]:
    columns = [batch.source_frames[:, None], batch.source_pixels, batch.target_frames, batch.target_pixels[:, 0]]
    return {tuple(row) for row in torch.cat([column.float() for column in columns], 1).tolist()}


def test_every_match_is_drawn_in_both_directions() -> None:
    batch = matches_of(ROWS).draw(400, torch.Generator().manual_seed(0))
    expected = {tuple(row[[0, 1, 2, 3, 4, 5]].tolist()) for row in ROWS}
    expected |= {tuple(row[[3, 4, 5, 0, 1, 2]].tolist()) for row in ROWS}
    assert drawn_rows(batch) == expected
    assert (batch.target_frames.shape, batch.target_pixels.shape) == ((400, 1), (400, 1, 2))
    assert bool((batch.confidence == 1).all())
    assert not batch.occluded.any()


def test_pairs_of_frames_are_drawn_evenly_however_many_matches_they_have() -> None:
    number = 30_000
    batch = matches_of(ROWS).draw(number, torch.Generator().manual_seed(1))
    later = torch.maximum(batch.source_frames, batch.target_frames[:, 0])
    expected = number / 3
    for frame in (10, 12, 20):
        assert int((later == frame).sum()) == pytest.approx(expected, abs=5 * (expected * 2 / 3) ** 0.5)
    forward = int((batch.source_frames < batch.target_frames[:, 0]).sum())
    assert forward == pytest.approx(number / 2, abs=5 * (number / 4) ** 0.5)


def test_matches_over_too_many_frames_are_left_out() -> None:
    kept = LongRangeMatches.from_rows(ROWS, CPU, longest_gap=11)
    assert kept is not None
    assert kept.pairs.tolist() == [[0, 10]]
    assert LongRangeMatches.from_rows(ROWS, CPU, longest_gap=9) is None
    assert LongRangeMatches.from_rows(ROWS[:0], CPU) is None


# --- schedules and outliers --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("step", "weight", "strict"), [(0, 1.0, False), (999, 1.0, False), (1000, 0.1, False), (2000, 0.01, True)]
)
def test_the_published_schedule(step: int, weight: float, strict: bool) -> None:
    assert match_weight(step / 22_000, (1.0, 0.1, 0.01)) == weight
    assert only_inliers(step / 22_000) == strict
    assert match_weight(step / 22_000, (0.5,)) == 0.5, "one weight is that of the whole run"
    assert match_weight(step / 22_000, ()) == 0


def test_inliers_by_hand() -> None:
    """Of the lengths 5, 13, 0, 9, 18.1 the median is 9; of 5, 10.1, 0, 9 it is the lower of the middle two, 5."""
    difference = torch.tensor([[[3.0, -4.0]], [[12.0, 5.0]], [[0.0, 0.0]], [[-9.0, 0.0]], [[0.0, 18.1]]])
    assert inliers(difference).flatten().tolist() == [True, True, True, True, False]
    four = torch.tensor([[3.0, -4.0], [0.0, 10.1], [0.0, 0.0], [-9.0, 0.0]], requires_grad=True)
    assert inliers(100 * four).tolist() == [True, False, True, True]
    assert inliers(torch.zeros(3, 2)).all()


MATTERING = {"plain_2d": 0.8}  # of the loss may remain: it starts without the camera's motion


def shaken(method: str, data: Correspondences, settings: FitSettings, seed: int = 0) -> Any:
    field = get_method(method).build(data, settings, None)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.03)
    return field


@pytest.mark.parametrize("flow_gradient_weight", [0.0, 0.1])
@pytest.mark.parametrize("method", METHODS)
def test_matches_pull_the_field(
    method: str, flow_gradient_weight: float, scene: SyntheticScene, data: Correspondences, small_fit: FitSettings
) -> None:
    settings = replace(small_fit, method=method, flow_gradient_weight=flow_gradient_weight)
    torch.manual_seed(0)
    field = shaken(method, data, settings)
    batch = matches_of(true_rows(scene)).draw(33, torch.Generator().manual_seed(0))
    for context in (EARLY, LATE):
        field.zero_grad()
        loss = METHODS[method].match_loss(field, batch, settings, context)
        loss.backward()
        gradients = [p.grad for p in field.parameters() if p.grad is not None]
        assert loss.ndim == 0
        assert loss.item() > 0
        assert all(torch.isfinite(g).all() for g in gradients)
        assert max(float(g.abs().max()) for g in gradients) > 0


@pytest.mark.parametrize("context", [EARLY, LATE])
def test_matches_and_batches_share_a_pass(
    context: StepContext, scene: SyntheticScene, data: Correspondences, small_fit: FitSettings
) -> None:
    """Values and gradients equal those of two separate passes."""
    method, field = get_method("cadex"), shaken("cadex", data, small_fit)
    assert method.joint_losses is not None
    generator = torch.Generator().manual_seed(0)
    batch = draw(make_sampler(data, small_fit, method.extras(small_fit)), 0.5, generator)
    matches = matches_of(true_rows(scene)).draw(33, generator)
    terms, errors = method.losses(field, batch, small_fit, context)
    far = method.match_loss(field, matches, small_fit, context)
    together, same_errors, same_far = method.joint_losses(field, batch, matches, small_fit, context)
    torch.testing.assert_close(together, terms)
    torch.testing.assert_close((same_errors, same_far), (errors, far))
    parameters = list(field.parameters())
    apart = torch.autograd.grad(sum(terms.values()) + far, parameters)
    joined = torch.autograd.grad(sum(together.values()) + same_far, parameters)
    for found, expected in zip(joined, apart, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)  # summed in another order


@pytest.mark.parametrize("mapping", ["invertible", "two_networks"])
def test_matches_pull_every_mapping(mapping: str, data: Correspondences, small_fit: FitSettings) -> None:
    omnimotion = replace(small_fit.omnimotion, mapping=mapping, samples=4, two_networks_hidden=(8, 8))
    settings = replace(small_fit, method="omnimotion", omnimotion=omnimotion)
    field = shaken("omnimotion", data, settings)
    rows = np.array([[0, 10, 10, 5, 30, 30, 1]], np.float32)
    loss = METHODS["omnimotion"].match_loss(field, matches_of(rows).draw(8, torch.Generator()), settings, EARLY)
    loss.backward()
    assert loss.item() > 1
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in field.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_wrong_matches_do_not_matter_later(
    method: str, scene: SyntheticScene, data: Correspondences, small_fit: FitSettings
) -> None:
    """One in nine is wrong, in one of two ways: at first the loss distinguishes the two, later it does not."""
    settings = replace(small_fit, method=method)
    torch.manual_seed(0)
    field = shaken(method, data, settings)
    batch = matches_of(true_rows(scene)).draw(45, torch.Generator().manual_seed(0))

    def loss(offset: float, share: float) -> float:
        target = batch.target_pixels.clone()
        target[::9] += offset
        context = StepContext(moment(share, settings), torch.Generator().manual_seed(7))
        # the depth terms read the depth map where a match lands: outside the frame the value is clamped
        weights = replace(settings.cadex, depth_weight=0.0, depth_prior_weight=0.0, depth_gradient_weight=0.0)
        wrong = replace(batch, target_pixels=target)
        return METHODS[method].match_loss(field, wrong, replace(settings, cadex=weights), context).item()

    assert loss(300.0, 0.0) > 1.02 * loss(200.0, 0.0)
    assert loss(300.0, 0.5) == pytest.approx(loss(200.0, 0.5), rel=1e-5)
    assert loss(300.0, 0.5) < MATTERING.get(method, 0.5) * loss(300.0, 0.0)


# --- the whole fit -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", METHODS)
def test_without_matches_a_fit_is_what_it_was(
    method: str, scene: SyntheticScene, data: Correspondences, small_fit: FitSettings
) -> None:
    matches = matches_of(true_rows(scene))

    def state(number: int, weights: tuple[float, ...], given: LongRangeMatches | None) -> dict[str, Any]:
        settings = replace(small_fit, method=method, matches=number, match_weights=weights, steps=5)
        engine = Engine(data, settings, 0, matches=given)
        list(engine.run())
        return engine.state_dict()

    plain = state(0, (1.0,), None)
    assert same_state(plain, state(32, (1.0,), None))
    assert same_state(plain, state(0, (1.0,), matches))
    assert same_state(plain, state(32, (0.0,), matches))
    assert not same_state(plain, state(32, (1.0,), matches))


def test_a_fit_with_matches_goes_on_exactly(
    scene: SyntheticScene, data: Correspondences, small_fit: FitSettings
) -> None:
    settings, matches = replace(small_fit, matches=32), matches_of(true_rows(scene))
    whole = Engine(data, settings, 0, matches=matches)
    looks = list(whole.run())
    assert all(look.losses["matches"] > 0 for look in looks)
    assert looks[0].losses["loss"] == pytest.approx(sum(v for k, v in looks[0].losses.items() if k != "loss"))
    first = Engine(data, settings, 0, matches=matches)
    next(first.run())
    second = Engine(data, settings, 9, matches=matches)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    list(second.run())
    assert same_state(whole.state_dict(), second.state_dict())


def test_matches_lead_where_flow_does_not_reach(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    """A plane that bends more and more; flow from its first frame to the next only, matches with its last frame."""
    plane = static_scene(SIZE).layers[0]
    bending = SyntheticScene(SIZE, FRAMES, [replace(plane, motion=lambda t: Ripple(1.2 * t, 60.0))])
    near = exact_correspondences(bending, stride=4, sources=[0], reach=1)
    rows = true_rows(bending, 200)
    last = rows[rows[:, 3] == 5]

    def error(number: int, seed: int) -> float:
        settings = replace(small_fit, matches=number, match_weights=(1.0,), steps=60)
        settings = replace(settings, cadex=replace(settings.cadex, learning_rate=5e-2))
        engine = Engine(near, settings, seed, matches=matches_of(rows))
        list(engine.run())
        found = engine.field.track(0, last[:, 1:3], [5]).pixels[:, 0]
        return float(np.linalg.norm(found - last[:, 4:6], axis=-1).mean())

    _, middle, _ = sorted(error(64, seed) for seed in range(3))  # short, coarse fits: one in nine ends elsewhere
    assert middle < 0.7 * error(0, 0)
