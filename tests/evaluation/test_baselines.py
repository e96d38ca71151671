"""The trackers without a fit on exact flow: all are exact on a plane; behind an occluder each behaves as documented."""

from __future__ import annotations

import numpy as np
import pytest

from omnitrack.correspondence.estimators.contract import Clip, OneByOne
from omnitrack.correspondence.flows import OnDemandFlows
from omnitrack.evaluation.baselines import BASELINES, track_chain, track_direct, track_multigap
from omnitrack.synthetic import SyntheticScene, occluder_scene, translating_scene


def log_pairs(num_frames: int) -> set[tuple[int, int]]:
    """Return both directions of every gap that is a power of two, as the default `flow.pairs` selects them."""
    gaps = {2**n for n in range(num_frames.bit_length())}
    frames = range(num_frames)
    return {(i, j) for i in frames for j in frames if abs(i - j) in gaps}


@pytest.fixture(scope="module")
def occluder() -> SyntheticScene:
    return occluder_scene((128, 96), 16, speed=4.0)


@pytest.fixture(scope="module")
def queries() -> np.ndarray:
    """On the disc before and after it is behind the pole; on the background far from both; on the pole."""
    return np.array([[0, 34, 48], [15, 94, 48], [3, 100, 10], [8, 64, 20]], np.float32)


@pytest.mark.parametrize("name", ["direct", "chain", "multigap-plain", "multigap"])
def test_every_baseline_is_exact_on_a_moving_plane(exact_flows: type, name: str) -> None:
    scene = translating_scene((1.5, -0.75), (96, 64), 6)
    queries = np.array([[0, 40.5, 30.25], [3, 50, 32], [3, 45, 20], [5, 60, 40.75]], np.float32)
    tracks, visible = BASELINES[name](exact_flows(scene), queries, 6)
    assert tracks.shape == (4, 6, 2)
    assert visible.shape == (4, 6)
    expected = queries[:, None, 1:] + (np.arange(6) - queries[:, :1])[..., None] * np.float32((1.5, -0.75))
    np.testing.assert_allclose(tracks, expected, atol=1e-3)
    assert visible.all()


@pytest.mark.parametrize("name", ["direct", "chain", "multigap-plain", "multigap"])
def test_points_that_leave_the_frame_are_not_visible(exact_flows: type, name: str) -> None:
    scene = translating_scene((8.0, 0.0), (96, 64), 6)
    tracks, visible = BASELINES[name](exact_flows(scene), np.array([[0, 70, 30]], np.float32), 6)
    assert visible[0].tolist() == [True, True, True, True, False, False]  # 70, 78, 86, 94 | 102, 110
    np.testing.assert_allclose(tracks[0, :4, 0], [70, 78, 86, 94], atol=1e-3)


def test_direct_sees_a_point_again_after_an_occluder(
    exact_flows: type, occluder: SyntheticScene, queries: np.ndarray
) -> None:
    exact, seen = occluder.tracks(queries)
    tracks, visible = track_direct(exact_flows(occluder), queries, 16)
    np.testing.assert_array_equal(visible, seen)
    np.testing.assert_allclose(tracks[seen], exact[seen], atol=0.02)


def test_chain_loses_a_point_at_an_occluder_for_good(
    exact_flows: type, occluder: SyntheticScene, queries: np.ndarray
) -> None:
    exact, seen = occluder.tracks(queries)
    adjacent = {(i, j) for i in range(16) for j in range(16) if abs(i - j) == 1}
    tracks, visible = track_chain(exact_flows(occluder, adjacent), queries, 16)
    assert visible[0].tolist() == [t < 6 for t in range(16)]
    assert visible[1].tolist() == [t > 9 for t in range(16)]
    np.testing.assert_array_equal(visible[2:], seen[2:])
    np.testing.assert_allclose(tracks[visible], exact[visible], atol=0.02)


def test_multigap_finds_the_point_again_on_the_stored_pairs(
    exact_flows: type, occluder: SyntheticScene, queries: np.ndarray
) -> None:
    exact, seen = occluder.tracks(queries)
    tracks, visible = track_multigap(exact_flows(occluder, log_pairs(16)), queries, 16)
    np.testing.assert_array_equal(visible, seen)
    np.testing.assert_allclose(tracks[seen], exact[seen], atol=0.02)


def test_direct_asks_only_for_pairs_with_the_query_frame(exact_flows: type) -> None:
    scene = translating_scene((1.0, 1.0), (48, 32), 5)
    flows = exact_flows(scene, {(i, j) for i in range(5) for j in range(5) if 2 in (i, j)})
    tracks, _ = track_direct(flows, np.array([[2, 20, 15]], np.float32), 5)
    np.testing.assert_allclose(tracks[0], [[18, 13], [19, 14], [20, 15], [21, 16], [22, 17]], atol=1e-3)


def test_direct_takes_flow_on_demand() -> None:
    """A frame's pixels contain its index; the estimator returns a motion of one pixel to the right per frame."""

    class Estimator:
        def estimate(self, source: np.ndarray, target: np.ndarray, initial: np.ndarray | None) -> np.ndarray:
            step = float(target.flat[0]) - float(source.flat[0])
            return np.full((*source.shape[:2], 2), (step, 0), np.float32)

    clip = Clip(lambda t: np.full((32, 48, 3), t, np.uint8), 4, (48, 32), (48, 32))
    flows = OnDemandFlows(OneByOne(Estimator(), clip), (48, 32))
    tracks, visible = track_direct(flows, np.array([[1, 20, 10]], np.float32), 4)
    np.testing.assert_allclose(tracks[0], [[19, 10], [20, 10], [21, 10], [22, 10]])
    assert visible.all()
