"""Fusion of a field with measured flow: against closed forms, exact scenes and a written-out least-squares problem."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence import agreement, fusion
from omnitrack.correspondence.chained_tracks import ChainedTrack, chain_everywhere
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.fusion import Expected, fuse_positions
from omnitrack.correspondence.normal_equations import DenseEquations
from omnitrack.synthetic import occluder_scene, translating_scene

SIZE = (256, 256)


class NoFlows(FlowSource):
    """A clip without measured flow."""

    size = SIZE

    def has(self, source: int, target: int) -> bool:
        return False

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        raise AssertionError("nobody may ask")


class SteadyFlows(FlowSource):
    """Exact flow of a constant velocity, between adjacent frames only."""

    size = SIZE

    def __init__(self, velocity: tuple[float, float]) -> None:
        self._velocity = np.array(velocity, np.float32)

    def has(self, source: int, target: int) -> bool:
        return abs(source - target) == 1

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return np.broadcast_to(self._velocity * (target - source), (SIZE[1], SIZE[0], 2)).copy()


def track_of(positions: list[tuple[float, float]], visible: list[bool]) -> ChainedTrack:
    """The chain of one point, with full confidence where it is visible."""
    seen = np.array([visible])
    return ChainedTrack(
        np.array([positions], np.float32), seen, seen.astype(np.float32), *np.zeros((2, *seen.shape), bool)
    )


def expected(
    chained: ChainedTrack, source: int, field: NDArray[np.float32], measurable: NDArray[np.bool_], size: tuple[int, int]
) -> Expected:
    """The expected positions of queries in frame `source`."""
    known = np.zeros(chained.visible.shape, bool)
    known[:, source] = True
    away = np.abs(np.arange(known.shape[1]) - source)
    trusted = agreement.trusted_field(chained, field, away, size)
    weight = agreement.position_weight(chained, field, away, size)
    motion = np.diff(field.astype(np.float64), axis=1)
    return Expected.of(chained, field, weight, motion, trusted, measurable, known)


def test_agreement_is_half_at_four_pixels() -> None:
    chained = track_of([(10, 10), (10, 10), (10, 10)], [True] * 3)
    field = np.array([[[10, 10], [10, 14], [22, 10]]], np.float32)
    np.testing.assert_allclose(agreement.agreement(chained, field, SIZE), [[1, 0.5, 0.1]], rtol=1e-5)
    np.testing.assert_allclose(agreement.agreement(chained, field, (512, 512))[0, 1], 0.8, rtol=1e-5)  # 2 px at 256


def test_field_is_trusted_near_where_it_agrees() -> None:
    chained, away = track_of([(10, 10)] * 20, [True] * 10 + [False] * 10), np.arange(20)
    near = np.full((1, 20, 2), 10.5, np.float32)
    assert agreement.trusted_field(chained, near, away, SIZE).all()
    assert not agreement.trusted_field(chained, near + 30, away, SIZE).any()
    left = near.copy()
    left[:, 7:] += 30  # the field leaves the chain in frame 7, where the chain still sees the point
    assert agreement.trusted_field(chained, left, away, SIZE)[0, [0, 19]].tolist() == [True, False]


def test_agreement_where_a_point_is_known_is_little_evidence() -> None:
    sure = np.array([[1, 0.3, 0.3]], np.float32)
    chained = replace(track_of([(10, 10), (40, 10), (70, 10)], [True] * 3), confidence=sure)
    stays = np.full((1, 3, 2), 10, np.float32)  # the field leaves the point behind; the chain follows it
    assert not agreement.trusted_field(chained, stays, np.arange(3), SIZE).any()
    seen_once = track_of([(10, 10)] * 3, [True, False, False])
    assert agreement.trusted_field(seen_once, stays + 30, np.arange(3), SIZE).tolist() == [[False, False, False]]
    assert agreement.trusted_field(seen_once, stays, np.arange(3), SIZE).all()  # nothing else to go by
    lost = track_of([(10, 10)] * 30, [True] + [False] * 29)
    assert agreement.trusted_field(lost, lost.pixels, np.arange(30), SIZE).all()


def test_far_from_the_query_a_chain_off_the_field_is_no_reason_to_doubt_it() -> None:
    chained = track_of([(10, 10)] * 4, [True] * 4)
    field = np.full((1, 4, 2), (18, 10), np.float32)
    near, far = np.arange(4), np.arange(4) + 2 * agreement.NEAR_FRAMES  # drift of 1 and of a little over 4
    assert not agreement.trusted_field(chained, field, near, SIZE).any()
    assert agreement.trusted_field(chained, field, far, SIZE).all()
    unseen = track_of([(10, 10)] * 4, [False] * 4)
    assert not agreement.trusted_field(unseen, field, near, SIZE).any()
    assert agreement.trusted_field(unseen, field, far, SIZE).all()


def test_weight_of_a_position_by_hand() -> None:
    chained = track_of([(10, 10)] * 2, [True] * 2)
    field, away = np.array([[[10, 10], [10, 10]]], np.float32), np.array([[0, 2 * agreement.NEAR_FRAMES]])
    np.testing.assert_allclose(agreement.position_weight(chained, field, away, SIZE), [[1, 4]])
    np.testing.assert_allclose(agreement.position_weight(chained, field + np.float32((0, 2)), away, SIZE), [[0.2, 3.2]])
    lost = track_of([(10, 10)] * 2, [False] * 2)
    np.testing.assert_allclose(agreement.position_weight(lost, field, away, SIZE), [[1 / 401, 4 / 26]])


def test_confidence_by_hand() -> None:
    chained = track_of([(10, 10), (10, 10)], [True, False])
    field = np.array([[[10, 10], [14, 10]]], np.float32)
    np.testing.assert_allclose(agreement.fused_confidence(chained, field, SIZE), [[1.0, 0.25]], rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "chain", "likeness", "apart_px", "fused_px", "seen"),
    [
        (True, True, -0.7, 0, 0, True),  # 1 + 1 + 1 - 0.7: in one position, whatever the appearance
        (True, False, -0.4, 0, 0, True),
        (True, False, -0.7, 0, 0, False),  # 1 + 1 - 0.7
        (False, True, -0.7, 0, 0, False),
        (False, False, 0.6, 0, 0, True),  # 1 + 0.6: neither sees it, but its appearance matches where both predict it
        (False, False, 0.3, 0, 0, False),
        (True, False, 0.1, 4, 0, True),  # 1 + 1/2 + 0.1
        (True, False, -0.2, 4, 0, False),  # 1 + 1/2 - 0.2
        (True, True, -0.4, 100, 0, True),  # 1 + 1 - 0.4
        (True, True, -0.7, 100, 0, False),
        (False, True, 0.3, 100, 0, False),
        (False, True, 0.6, 100, 0, True),
        (True, True, 0.4, 100, 100, False),  # 1 + 0.4: the chain sees something elsewhere
        (False, True, 0.6, 4, 4, True),  # 1/2 + 1/2 + 0.6
        (False, True, 0.4, 4, 4, False),
    ],
)
def test_what_four_witnesses_say_together(
    field: bool, chain: bool, likeness: float, apart_px: float, fused_px: float, seen: bool
) -> None:
    """Field and fused position are `apart_px` and `fused_px` from the chain."""
    chained = track_of([(10, 10)], [chain])
    there, fused = (np.array([[[10.0 + away, 10.0]]], np.float32) for away in (apart_px, fused_px))
    cues = agreement.agreement(chained, there, SIZE), np.array([[field]]), fused, np.float32([[likeness]])
    assert agreement.fused_visibility(chained, *cues, SIZE).tolist() == [[seen]]
    covered = replace(chained, covered=np.ones_like(chained.covered))  # another object is visible there
    assert not agreement.fused_visibility(covered, *cues, SIZE).any()


def test_without_flow_a_trusted_field_carries_on_where_the_chain_ends() -> None:
    positions = [(10 + 2.0 * t, 50) for t in range(6)]
    chained = track_of([*positions[:3], *[(14.0, 50.0)] * 3], [True] * 3 + [False] * 3)
    field = np.array([positions], np.float32)
    fused = fuse_positions(NoFlows(), expected(chained, 1, field, np.ones((1, 6), bool), SIZE), (1, 2))
    np.testing.assert_allclose(fused, [positions], atol=1e-3)


def test_without_flow_and_trust_the_chain_stands() -> None:
    positions = [(10 + 2.0 * t, 50) for t in range(6)]
    chained = track_of(positions, [True] * 6)
    field = np.full((1, 6, 2), 200, np.float32)
    fused = fuse_positions(NoFlows(), expected(chained, 0, field, np.ones((1, 6), bool), SIZE), (1,))
    np.testing.assert_allclose(fused, [positions], atol=1e-3)


@pytest.mark.parametrize("found", [False, True])
@pytest.mark.parametrize("known", [(0,), (0, 2)])
def test_equations_are_those_of_the_docstring(known: tuple[int, ...], found: bool) -> None:
    """One round over three frames, against the same sum of squares stacked row by row; without and with a pin.

    In the second frame the point may have been found again, although the field is trusted there.
    """
    start = np.array([[[20.0, 20.0], [23.0, 21.0], [27.0, 19.0]]], np.float32)
    field = np.array([[[20.0, 20.0], [22.5, 20.0], [26.0, 20.5]]], np.float32)
    trusted = np.array([[True, True, False]])
    empty = DenseEquations.smooth(1, 3, fusion.SMOOTHNESS)
    motion, seen = np.diff(field.astype(np.float64), axis=1), np.ones((1, 3), bool)
    fixed = np.isin(np.arange(3), known)[None]
    weight = np.array([[0.5, 1.0, 2.0]])
    begun = Expected(start, field, weight, motion, trusted, seen, fixed, np.array([[False, found, False]]))
    priors = fusion._priors(empty, begun, 1.0)
    solved = fusion._solve(priors, SteadyFlows((2.0, 1.0)), start, seen, (1,))[0]
    rows, targets = [], []

    def ask(coefficients: list[float], value: NDArray[np.floating], weight: float) -> None:
        rows.append(np.sqrt(weight) * np.array(coefficients))
        targets.append(np.sqrt(weight) * np.asarray(value, float))

    for frame in known:
        ask([float(t == frame) for t in range(3)], start[0, frame], fusion.KNOWN_WEIGHT)
    ask([-1, 1, 0], field[0, 1] - field[0, 0], fusion.FIELD_WEIGHT)
    ask([1, 0, 0], field[0, 0], 0.5 * fusion.POSITION_WEIGHT)
    if found:
        ask([0, 1, 0], start[0, 1], fusion.FOUND_WEIGHT)
    else:
        ask([0, 1, 0], field[0, 1], 1.0 * fusion.POSITION_WEIGHT)
    ask([0, 0, 1], start[0, 2], fusion.CHAIN_WEIGHT)
    ask([1, -2, 1], np.zeros(2), fusion.SMOOTHNESS)
    for k, j in ((0, 1), (1, 0), (1, 2), (2, 1)):
        step = np.array([2.0, 1.0]) * (j - k)
        residual = np.linalg.norm(start[0, j] - start[0, k] - step)
        weight = 1 / fusion.MEASURED_PX**2 / (1 + (residual / fusion.CAUCHY_PX) ** 2)
        ask([float(t == j) - float(t == k) for t in range(3)], step, weight)
    best = np.linalg.lstsq(np.array(rows), np.array(targets), rcond=None)[0]
    np.testing.assert_allclose(solved, best, atol=1e-4)


def test_exact_flow_pulls_a_rough_start_onto_the_track(exact_flows: type) -> None:
    scene = translating_scene((1.5, -0.75), (96, 64), 7)
    flows = exact_flows(scene)
    points = np.array([[40.3, 30.6], [50.0, 32.25]], np.float32)
    truth = scene.tracks(np.column_stack([np.full(2, 3.0), points]))[0]
    rough = truth.astype(np.float32) + np.random.default_rng(0).normal(0, 0.2, truth.shape).astype(np.float32)
    rough[:, 3] = points
    seen = np.ones((2, 7), bool)
    chained = ChainedTrack(rough, seen, seen.astype(np.float32), *np.zeros((2, *seen.shape), bool))
    fused = fuse_positions(flows, expected(chained, 3, rough, seen, flows.size), (1, 2, 4))
    assert np.abs(fused - truth).max() < 0.25 * np.abs(rough - truth).max()
    np.testing.assert_allclose(fused[:, 3], points, atol=1e-4)


def test_points_do_not_depend_on_each_other(exact_flows: type) -> None:
    flows = exact_flows(occluder_scene((96, 64), 8))
    points = np.array([[20.0, 30.0], [40.5, 30.25], [70.0, 50.0]], np.float32)
    chained = chain_everywhere(flows, 2, points, 8, (1, 2, 4), 2.0)
    field = chained.pixels + np.float32(0.5)
    together = fuse_positions(flows, expected(chained, 2, field, chained.visible, flows.size), (1, 2, 4))
    for i in range(3):
        one = ChainedTrack(*(getattr(chained, field.name)[i : i + 1] for field in fields(ChainedTrack)))
        alone = fuse_positions(flows, expected(one, 2, field[i : i + 1], one.visible, flows.size), (1, 2, 4))
        np.testing.assert_allclose(alone[0], together[i], atol=1e-4)


def test_long_clips_are_solved_by_the_band_with_the_same_result(
    exact_flows: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = occluder_scene((96, 72), 14, speed=4.0)
    flows, rng = exact_flows(scene), np.random.default_rng(0)
    points = (scene.size * rng.uniform(0.1, 0.9, (25, 2))).astype(np.float32)
    chained = chain_everywhere(flows, 5, points, 14, (1, 2, 4), 2.0)
    field = chained.pixels + rng.normal(0, 1, chained.pixels.shape).astype(np.float32)
    seen = rng.random(chained.visible.shape) < 0.8
    whole = fuse_positions(flows, expected(chained, 5, field, seen, flows.size), (1, 2, 4))
    monkeypatch.setattr(fusion, "DENSE_FRAMES", 1)
    monkeypatch.setattr(fusion, "SOLVE_FLOATS", 3 * 14 * 5 * 10)  # ten points at a time
    banded = fuse_positions(flows, expected(chained, 5, field, seen, flows.size), (1, 2, 4))
    np.testing.assert_allclose(banded, whole, atol=1e-4)
    assert np.abs(banded - chained.pixels).max() > 0.5, "there was something to fuse"
