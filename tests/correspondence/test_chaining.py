"""Chains on exact flow: they follow it exactly, jump over occlusions if hops are long enough, and report when lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.chaining import (
    CAUTIOUS,
    LEAST_RIGHT,
    PRICES,
    UNLIKE_COST,
    ChainState,
    HopPrices,
    Rows,
    chain,
    chain_confidence,
    cheapest,
    outward,
)
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import CoarseGrid
from omnitrack.synthetic import SyntheticScene, occluder_scene, translating_scene
from omnitrack.units import raster_scale

THRESHOLD_PX = 2.0
BEHIND = np.array([[34.0, 48.0]], np.float32)  # on the disc in frame 0; behind the pole in frames 6 to 9 of 16


@pytest.fixture(scope="module")
def occluder() -> SyntheticScene:
    return occluder_scene((128, 96), 16, speed=4.0)


def cast_batch(
    flows: FlowSource, source: int, pixels: NDArray[np.float32], num_frames: int, gaps: tuple[int, ...]
) -> dict[int, ChainState]:
    """Return the states in both directions."""
    states = {}
    for targets in outward(source, range(num_frames)):
        states.update(chain(flows, source, pixels, targets, gaps, THRESHOLD_PX))
    return states


def test_outward_order() -> None:
    assert outward(2, range(6)) == [[3, 4, 5], [1, 0]]
    assert outward(0, range(3)) == [[1, 2], []]
    assert outward(2, range(3)) == [[], [1, 0]]
    assert outward(3, range(8), window=2) == [[4, 5], [2, 1]]
    assert outward(1, range(8), window=3) == [[2, 3, 4], [0]]


@pytest.mark.parametrize("gaps", [(1,), (1, 2, 4)])
def test_a_translation_is_followed_exactly_both_ways(exact_flows: type, gaps: tuple[int, ...]) -> None:
    scene = translating_scene((1.5, -0.75), (96, 64), 7)
    points = np.array([[40.3, 30.6], [50.0, 32.25]], np.float32)
    states = cast_batch(exact_flows(scene), 3, points, 7, gaps)
    assert sorted(states) == [0, 1, 2, 4, 5, 6]
    for target, state in states.items():
        np.testing.assert_allclose(state.pixels, points + np.float32((1.5, -0.75)) * (target - 3), atol=1e-3)
        assert state.visible.all()
        assert state.reliable.all()
        np.testing.assert_allclose(state.variance, 0, atol=1e-5)


def test_chains_are_exact_where_points_are_seen(exact_flows: type, occluder: SyntheticScene) -> None:
    rng = np.random.default_rng(0)
    points = (occluder.size * rng.uniform(0.1, 0.9, (300, 2))).astype(np.float32)
    tracks, visible = occluder.tracks(np.column_stack([np.full(len(points), 5), points]))
    states = cast_batch(exact_flows(occluder), 5, points, 16, (1, 2, 4, 8))
    errors = np.stack([np.linalg.norm(states[t].pixels - tracks[:, t], axis=-1) for t in sorted(states)], 1)
    claimed = np.stack([states[t].visible for t in sorted(states)], 1)
    seen = np.delete(visible, 5, axis=1)
    assert np.mean(claimed == seen) > 0.97, "only points at an outline, whose flow is mixed, may be judged wrongly"
    assert np.quantile(errors[claimed & seen], 0.98) < 0.02


def test_a_long_hop_recovers_a_point_behind_an_occluder(exact_flows: type, occluder: SyntheticScene) -> None:
    tracks, visible = occluder.tracks(np.column_stack([[0], BEHIND]))
    assert np.flatnonzero(~visible[0]).tolist() == [6, 7, 8, 9]
    states = cast_batch(exact_flows(occluder), 0, BEHIND, 16, (1, 2, 4, 8))
    assert [bool(states[t].visible[0]) for t in range(1, 16)] == visible[0, 1:].tolist()
    for t in np.flatnonzero(visible[0])[1:]:
        np.testing.assert_allclose(states[t].pixels, tracks[:, t], atol=0.02)


def test_short_hops_lose_that_point_for_good(exact_flows: type, occluder: SyntheticScene) -> None:
    states = cast_batch(exact_flows(occluder), 0, BEHIND, 16, (1,))
    assert [t for t in range(1, 16) if states[t].visible[0]] == [1, 2, 3, 4, 5]
    dear = PRICES.hidden + PRICES.hop
    assert states[8].cost[0] - states[7].cost[0] == pytest.approx(dear, abs=0.1), "leaving while hidden is dear"
    disc = occluder.tracks(np.column_stack([[0], BEHIND]))[0]
    assert np.linalg.norm(states[15].pixels - disc[:, 15]) > 10, "it stays on the pole"


def test_a_point_just_hidden_is_still_reliable_and_later_not(exact_flows: type, occluder: SyntheticScene) -> None:
    states = cast_batch(exact_flows(occluder), 0, BEHIND, 10, (1, 2))
    reliable = [bool(states[t].reliable[0]) for t in range(1, 10)]
    assert reliable[:6] == [True] * 6  # visible in 1 to 5; the flow into the occlusion at 6 leads to the right position
    assert reliable[7:] == [False] * 2  # two frames later at the latest
    track = occluder.tracks(np.column_stack([[0], BEHIND]))[0]
    for t in (t for t in range(1, 10) if reliable[t - 1]):
        np.testing.assert_allclose(states[t].pixels, track[:, t], atol=0.02)


class ConstantError(FlowSource):
    """One pixel to the right per frame, and back with an error of half a pixel of the 256 x 256 raster per pair."""

    size = (64, 64)

    def has(self, source: int, target: int) -> bool:
        return True

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        error = 0.0 if target > source else 0.5 * raster_scale(self.size)
        return np.full((64, 64, 2), (target - source, error), np.float32)


@pytest.mark.parametrize(("gaps", "hops"), [((1,), [1, 2, 3, 4, 5, 6]), ((1, 2), [1, 1, 2, 2, 3, 3])])
def test_the_way_with_the_fewest_errors_is_taken(gaps: tuple[int, ...], hops: list[int]) -> None:
    """Each hop adds 0.25 px^2 to the variance and 0.05 more to the cost, whatever its length."""
    start = np.array([[10, 20]], np.float32)
    states = dict(chain(ConstantError(), 0, start, range(1, 7), gaps, THRESHOLD_PX, prices=HopPrices(hop=0.05)))
    np.testing.assert_allclose([states[t].variance[0] for t in range(1, 7)], 0.25 * np.array(hops), rtol=1e-4)
    np.testing.assert_allclose([states[t].cost[0] for t in range(1, 7)], 0.30 * np.array(hops), rtol=1e-4)
    assert all(states[t].visible.all() for t in states)


class Judged(FlowSource):
    """Points move by (1, 0) per frame over one frame, which is right, and twice as far over two, which is wrong."""

    size = (256, 256)

    def __init__(self, wrong: float) -> None:
        self._wrong = wrong

    def has(self, source: int, target: int) -> bool:
        return abs(target - source) in (1, 2)

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        step = (target - source) * (2 if abs(target - source) == 2 else 1)
        return np.broadcast_to(np.array([step, 0], np.float32), (256, 256, 2)).copy()

    def doubt(self, source: int, target: int) -> NDArray[np.float32]:
        wrong = self._wrong if abs(target - source) == 2 else 0.001
        return np.full(CoarseGrid.of(self.size).shape, np.log(wrong / (1 - wrong)), np.float32)


@pytest.mark.parametrize(("wrong", "way"), [(0.0001, 24.0), (0.5, 22.0), (0.999, 22.0)])
def test_a_hop_that_is_probably_wrong_is_dear(wrong: float, way: float) -> None:
    """Two hops of 0.001 nats and 0.005 px^2 each cost less than one hop of log 2, but more than one without doubt."""
    states = dict(chain(Judged(wrong), 0, np.array([[20.0, 20.0]], np.float32), [1, 2], (1, 2), THRESHOLD_PX))
    assert states[2].pixels[0, 0] == pytest.approx(way, abs=1e-3)
    assert states[1].doubt[0] == pytest.approx(-np.log(0.999), rel=1e-2)
    assert states[2].visible[0]


def test_a_hop_that_is_surely_wrong_shows_nothing() -> None:
    start = np.array([[20.0, 20.0]], np.float32)
    for wrong, seen in [(CAUTIOUS.most_wrong + 0.02, False), (CAUTIOUS.most_wrong - 0.02, True)]:
        state = dict(chain(Judged(wrong), 0, start, [1, 2], (2,), THRESHOLD_PX, prices=CAUTIOUS))[2]
        assert state.visible.tolist() == [seen]
        assert state.doubt[0] == pytest.approx(-np.log(max(1 - wrong, LEAST_RIGHT)), rel=1e-3)
        assert state.cost[0] == pytest.approx(PRICES.hop + PRICES.doubt * state.doubt[0], rel=1e-3)


def test_the_threshold_is_in_pixels_of_the_raster() -> None:
    start = np.array([[10, 20]], np.float32)
    for threshold, seen in [(0.49, False), (0.51, True)]:
        ((_, state),) = chain(ConstantError(), 0, start, [1], (1,), threshold)
        assert state.visible.tolist() == [seen]


def test_a_frame_without_pairs_loses_points_only_while_no_hop_passes_it(exact_flows: type) -> None:
    scene = translating_scene((1.0, 0.5), (64, 48), 6)
    every = {(i, j) for i in range(6) for j in range(6)}
    flows = exact_flows(scene, {pair for pair in every if 2 not in pair})
    start = np.array([[30, 20]], np.float32)
    states = dict(chain(flows, 0, start, range(1, 6), (1, 2), THRESHOLD_PX))
    assert [bool(states[t].visible[0]) for t in range(1, 6)] == [True, False, True, True, True]
    np.testing.assert_array_equal(states[2].pixels, states[1].pixels)  # kept at its last position
    assert not states[2].reliable[0]
    np.testing.assert_allclose(states[5].pixels, [[35, 22.5]], atol=1e-3)


@pytest.mark.parametrize("kept", ["forward", "backward", "none"])
def test_a_hop_needs_both_directions_of_its_pair(exact_flows: type, kept: str) -> None:
    scene = translating_scene((1.0, 0.5), (64, 48), 3)
    pairs = {"forward": {(0, 1), (1, 2)}, "backward": {(1, 0), (2, 1)}, "none": set()}[kept]
    start = np.array([[30, 20]], np.float32)
    for _, state in chain(exact_flows(scene, pairs), 0, start, [1, 2], (1, 2), THRESHOLD_PX):
        np.testing.assert_array_equal(state.pixels, start)
        assert not state.visible.any()
        assert not state.reliable.any()


def test_a_point_does_not_depend_on_the_others(exact_flows: type, occluder: SyntheticScene) -> None:
    points = np.random.default_rng(1).uniform(10, 80, (40, 2)).astype(np.float32)
    flows = exact_flows(occluder)
    together = cast_batch(flows, 4, points, 12, (1, 2, 4))
    for index in (0, 7, 39):
        for t, alone in cast_batch(flows, 4, points[index : index + 1], 12, (1, 2, 4)).items():
            np.testing.assert_allclose(alone.pixels[0], together[t].pixels[index], atol=1e-5)
            assert alone.visible[0] == together[t].visible[index]
            np.testing.assert_allclose(alone.cost[0], together[t].cost[index], rtol=1e-5, atol=1e-5)


def test_of_two_consistent_hops_the_one_that_looks_right_is_taken() -> None:
    class Quarrelling(FlowSource):
        """Constant flows, each consistent: 1 px to the right over one frame, 5 px over two."""

        size = (64, 64)

        def has(self, source: int, target: int) -> bool:
            return abs(source - target) in (1, 2)

        def flow(self, source: int, target: int) -> NDArray[np.float32]:
            step = (target - source) if abs(target - source) == 1 else 2.5 * (target - source)
            return np.broadcast_to(np.array([step, 0], np.float32), (64, 64, 2)).copy()

    point = np.array([[20.0, 20.0]], np.float32)

    def end(right: float) -> float:
        def looks(frame: int, pixels: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
            wanted = {1: 21.0, 2: right}[frame]
            return np.where(np.abs(pixels[:, 0] - wanted) < 0.5, 1, 0).astype(np.float32)

        states = dict(chain(Quarrelling(), 0, point, [1, 2], (1, 2), THRESHOLD_PX, looks))
        return float(states[2].pixels[0, 0])

    assert end(22.0) == pytest.approx(22.0)
    assert end(25.0) == pytest.approx(25.0)


def test_the_cheapest_way_is_the_one_that_comparing_all_looks_finds() -> None:
    """Costs and likenesses have few values, so that many prices are equal; the likeness depends on the position."""
    rng = np.random.default_rng(0)
    count, ways = 400, 5
    costs = rng.integers(0, 4, (ways, count)).astype(np.float32)
    places = rng.integers(0, 5, (ways, count, 2)).astype(np.float32)
    likeness = rng.choice(np.float32([-1, 0, 0.5, 1]), (count, 5))
    asked = 0

    def looks(frame: int, pixels: NDArray[np.float32], rows: Rows) -> NDArray[np.float32]:
        nonlocal asked
        asked += len(pixels)
        return likeness[rows][np.arange(len(pixels)), pixels[:, 0].astype(int)]

    seen = rng.random((4, ways, count)) < 0.5
    candidates = [
        ChainState(places[k], seen[0, k], seen[1, k], costs[k], costs[k] + k, 2 * costs[k], seen[2, k], seen[3, k])
        for k in range(ways)
    ]
    found = cheapest(candidates, 7, looks)
    assert asked < 0.9 * ways * count

    alike = likeness[np.arange(count), places[..., 0].astype(int)]
    first_of_equals = (costs + UNLIKE_COST * (1 - alike)).argmin(0), np.arange(count)
    np.testing.assert_array_equal(found.pixels, places[first_of_equals])
    np.testing.assert_array_equal(found.visible, seen[0][first_of_equals])
    np.testing.assert_array_equal(found.reliable, seen[1][first_of_equals])
    np.testing.assert_array_equal(found.cost, costs[first_of_equals])
    np.testing.assert_array_equal(found.variance, costs[first_of_equals] + first_of_equals[0])
    np.testing.assert_array_equal(found.doubt, 2 * costs[first_of_equals])

    without = cheapest(candidates, 7)
    np.testing.assert_array_equal(without.variance, costs.min(0) + costs.argmin(0))


@pytest.mark.parametrize(("variance", "threshold", "confidence"), [(0, 2, 1), (1, 2, 0.5), (3, 2, 0.25), (1, 1, 0.2)])
def test_confidence_of_a_chain_by_hand(variance: float, threshold: float, confidence: float) -> None:
    assert chain_confidence(np.float32([variance]), threshold) == pytest.approx(confidence)


# --- partners: hops between frames that were selected by their content ------------------------------------------
class WithPartners(FlowSource):
    """The flow of another source, with partners."""

    def __init__(self, flows: FlowSource, links: list[tuple[int, int]]) -> None:
        self._flows, self.size = flows, flows.size
        self._links = links

    def has(self, source: int, target: int) -> bool:
        return self._flows.has(source, target)

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return self._flows.flow(source, target)

    def partners(self, frame: int) -> list[int]:
        return sorted({a + b - frame for a, b in self._links if frame in (a, b)})


def test_partners_that_the_gaps_reach_anyway_change_nothing(exact_flows: type, occluder: SyntheticScene) -> None:
    flows = exact_flows(occluder)
    points = np.random.default_rng(2).uniform(10, 80, (30, 2)).astype(np.float32)
    links = [(t, t + gap) for gap in (1, 2, 4) for t in range(16 - gap)]
    plain = cast_batch(flows, 6, points, 16, (1, 2, 4))
    linked = cast_batch(WithPartners(flows, links), 6, points, 16, (1, 2, 4))
    for t, state in plain.items():
        for field in ("pixels", "visible", "reliable", "cost", "variance"):
            np.testing.assert_array_equal(getattr(linked[t], field), getattr(state, field))


def test_a_hop_between_partners_recovers_what_short_hops_lose(exact_flows: type, occluder: SyntheticScene) -> None:
    flows = WithPartners(exact_flows(occluder), [(3, 11)])
    tracks, visible = occluder.tracks(np.column_stack([[0], BEHIND]))
    states = cast_batch(flows, 0, BEHIND, 16, (1,))
    assert [t for t in range(1, 16) if states[t].visible[0]] == [1, 2, 3, 4, 5, 11, 12, 13, 14, 15]
    for t in range(11, 16):
        np.testing.assert_allclose(states[t].pixels, tracks[:, t], atol=0.02)
    assert visible[0, 10], "frame 10 has no hop that leads to it"


def test_partners_lead_backwards_too(exact_flows: type, occluder: SyntheticScene) -> None:
    flows = WithPartners(exact_flows(occluder), [(3, 11)])
    late = occluder.tracks(np.column_stack([[0], BEHIND]))[0][:, 12]
    states = cast_batch(flows, 12, late, 16, (1,))
    assert [t for t in range(12) if states[t].visible[0]] == [0, 1, 2, 3, 10, 11]


def test_a_partner_needs_both_directions(exact_flows: type, occluder: SyntheticScene) -> None:
    near = {(t, t + 1) for t in range(15)} | {(t + 1, t) for t in range(15)}
    flows = WithPartners(exact_flows(occluder, near | {(3, 11)}), [(3, 11)])
    states = cast_batch(flows, 0, BEHIND, 16, (1,))
    assert not states[11].visible[0]


def test_only_states_that_are_needed_are_kept(exact_flows: type) -> None:
    scene = translating_scene((0.2, 0.1), (48, 40), 60)
    links = [(0, 50), (7, 20), (7, 30), (40, 12), (58, 3)]
    chaining = chain(
        WithPartners(exact_flows(scene), links), 1, np.array([[20, 20]], np.float32), range(2, 60), (1, 2, 4), 2.0
    )
    kept = {}
    for target, _ in chaining:
        kept[target] = set(chaining.gi_frame.f_locals["states"])  # type: ignore[attr-defined]
    after = {target: {t for t in frames if target - t >= 4} for target, frames in kept.items()}
    assert after[25] == {3, 7, 12}
    assert after[35] == {3, 12}
    assert after[45] == {3}
    assert max(map(len, kept.values())) <= 4 + 3
