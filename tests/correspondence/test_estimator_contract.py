"""Estimators in their full form: by frame index, in batches, with a confidence, other ones for near and far pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.correspondence import estimators
from omnitrack.correspondence.chaining import chain
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair
from omnitrack.correspondence.estimators.near_and_far import NearAndFar
from omnitrack.correspondence.flows import FlowSource
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.flow import compute_flow, flow_stamp
from omnitrack.stages.flow_jobs import split_into_jobs


class ByIndex:
    """Every point moves by the difference of the frame indices, plus a mark; records what it was asked for."""

    def __init__(self, mark: float = 0.0, batch_pairs: int = 1, confidence: float | None = None) -> None:
        self.mark, self.batch_pairs, self.concurrent, self.sure = mark, batch_pairs, False, confidence
        self.asked: list[list[Pair]] = []
        self.begun_at: dict[Pair, float | None] = {}

    def open(self, clip: Clip) -> ByIndex:
        self.size = clip.size
        return self

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        self.asked.append(list(pairs))
        for pair, guess in zip(pairs, initial, strict=True):
            self.begun_at[pair] = None if guess is None else float(guess[0, 0, 0])
        shape = (self.size[1], self.size[0])
        sure = None if self.sure is None else np.full(shape, self.sure, np.float32)
        return [FlowEstimate(np.full((*shape, 2), j - i + self.mark, np.float32), sure) for i, j in pairs]


def use(monkeypatch: pytest.MonkeyPatch, **by_name: ByIndex) -> None:
    monkeypatch.setattr(estimators, "get_estimator", lambda name, settings: by_name[name])


def settings(**flow: object) -> Settings:
    return load_settings(overrides={f"flow.{key}": value for key, value in flow.items()})


def test_a_batch_holds_one_gap_of_several_source_frames(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = ByIndex(batch_pairs=4)
    use(monkeypatch, mine=mine)
    compute_flow(project, settings(estimator="mine", pairs="window:2"))
    # by hand: two source frames per job, four pairs per batch, gap 1 before gap 2
    assert mine.asked[:3] == [[(0, 1), (1, 0), (1, 2)], [(0, 2), (1, 3)], [(2, 1), (2, 3), (3, 2), (3, 4)]]
    assert {pair for batch in mine.asked for pair in batch} == {
        (i, j) for i in range(8) for j in range(8) if 1 <= abs(i - j) <= 2
    }
    assert mine.begun_at[2, 3] is None and mine.begun_at[2, 4] == 1.0 and mine.begun_at[2, 0] == -1.0


def test_jobs_hold_all_pairs_of_their_source_frames() -> None:
    pairs = [(0, 1), (0, 2), (3, 1), (5, 6)]
    assert split_into_jobs(pairs, batch_pairs=1) == [[(0, 1), (0, 2)], [(3, 1)], [(5, 6)]]
    assert split_into_jobs(pairs, batch_pairs=4) == [[(0, 1), (0, 2), (3, 1)], [(5, 6)]]


def test_far_pairs_come_from_the_far_estimator_in_the_order_asked_for() -> None:
    clip = Clip(lambda t: np.zeros((2, 3, 3), np.uint8), 9, (3, 2), (3, 2))
    near, far = ByIndex(0.25).open(clip), ByIndex(0.5).open(clip)
    both = NearAndFar(near, far, far_gap=4)
    pairs = [(0, 4), (0, 1), (8, 2), (3, 0)]
    found = both.estimate_pairs(pairs, [None] * 4)
    assert [float(estimate.flow[0, 0, 0]) for estimate in found] == [4.5, 1.25, -5.5, -2.75]
    assert near.asked == [[(0, 1), (3, 0)]] and far.asked == [[(0, 4), (8, 2)]]


class HalfRight(ByIndex):
    """Finds the motion (2, 1) per frame in one half of the frame, and no motion in the other."""

    def __init__(self, half: slice, confidence: float | None = None) -> None:
        super().__init__()
        self.half, self.sure = half, confidence

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        self.asked.append(list(pairs))
        found = []
        for source, target in pairs:
            flow = np.zeros((self.size[1], self.size[0], 2), np.float32)
            flow[:, self.half] = 2 * (target - source), target - source
            sure = None if self.sure is None else np.where(flow[..., 0] != 0, np.float32(self.sure), 0)
            found.append(FlowEstimate(flow, sure))
        return found


def test_far_pairs_take_the_estimator_that_looks_better_pixel_by_pixel(clip: NDArray[np.uint8]) -> None:
    here = Clip(clip.__getitem__, 8, (64, 48), (64, 48))
    near, far = HalfRight(slice(32)).open(here), HalfRight(slice(32, None)).open(here)
    both = NearAndFar(near, far, 3, here)
    close, apart = both.estimate_pairs([(2, 3), (1, 4)], [None, None])
    assert (near.asked, far.asked) == ([[(2, 3), (1, 4)]], [[(1, 4)]])
    np.testing.assert_array_equal(close.flow[:, 32:], 0)
    right = (apart.flow == (6, 3)).all(-1)
    assert right[:40, :56].mean() > 0.98, "all but what leaves the frame"
    assert apart.confidence is None


def test_an_estimator_that_is_sure_is_not_judged_by_looks(clip: NDArray[np.uint8]) -> None:
    here = Clip(clip.__getitem__, 8, (64, 48), (64, 48))
    near, far = HalfRight(slice(None)).open(here), ByIndex(0.5, confidence=0.3).open(here)
    found = NearAndFar(near, far, 3, here).estimate_pairs([(1, 4)], [None])[0]
    np.testing.assert_array_equal(found.flow, 3.5)
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence, 0.3)
    assert not near.asked


def test_where_the_far_one_looks_better_it_is_believed_as_far_as_any(clip: NDArray[np.uint8]) -> None:
    here = Clip(clip.__getitem__, 8, (64, 48), (64, 48))
    near, far = HalfRight(slice(32), confidence=0.4).open(here), HalfRight(slice(32, None)).open(here)
    found = NearAndFar(near, far, 3, here).estimate_pairs([(1, 4)], [None])[0]
    assert found.confidence is not None
    np.testing.assert_allclose(found.confidence[10:30, 8:24], 0.4)
    np.testing.assert_allclose(found.confidence[10:30, 40:52], 1)


def test_near_and_far_estimators_are_named_in_the_settings(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, near=ByIndex(0.25), far=ByIndex(0.5))
    mixed = settings(estimator="near", far_estimator="far", far_gap=4, far_choice="far")
    compute_flow(project, mixed)
    with FlowStore(project) as store:
        assert float(store.flow(1, 3)[0, 0, 0]) == 2.25
        assert float(store.flow(1, 5)[0, 0, 0]) == 4.5
        assert store.confidence(1, 5) is None
    assert {"far_gap", "far_choice"} <= set(flow_stamp(project, mixed.flow)["settings"])
    assert flow_stamp(project, settings(far_gap=3).flow) == flow_stamp(project, settings().flow)


def test_confidence_is_kept_beside_the_flow(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, mine=ByIndex(confidence=0.2))
    compute_flow(project, settings(estimator="mine"))
    with FlowStore(project) as store:
        sure = store.confidence(0, 1)
    assert sure is not None and sure.shape == (48, 64) and sure.dtype == np.float32
    np.testing.assert_allclose(sure, 0.2, atol=1e-6)  # 51 / 255


@pytest.mark.parametrize("confidence", [1.5, -0.1, float("nan")])
def test_a_confidence_that_is_none_is_refused(
    project: Project, monkeypatch: pytest.MonkeyPatch, confidence: float
) -> None:
    use(monkeypatch, mine=ByIndex(confidence=confidence))
    with pytest.raises(OmnitrackError, match=r"'mine' on frames 0 -> 1 .*confidence"):
        compute_flow(project, settings(estimator="mine"))


class SureOrNot(FlowSource):
    """One pixel to the right per frame, and back again, with a constant confidence of the estimator."""

    size = (256, 256)

    def __init__(self, confidence: float) -> None:
        self._confidence = confidence

    def has(self, source: int, target: int) -> bool:
        return True

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return np.broadcast_to(np.array([target - source, 0], np.float32), (256, 256, 2)).copy()

    def confidence(self, source: int, target: int) -> NDArray[np.float32]:
        return np.full((256, 256), self._confidence, np.float32)


@pytest.mark.parametrize(("sure", "visible", "variance"), [(1.0, True, 0.0), (0.8, True, 0.25), (0.4, False, 1.5)])
def test_a_chain_believes_its_hops_as_far_as_the_estimator_does(sure: float, visible: bool, variance: float) -> None:
    """By hand: 1 / c - 1 squared pixels per hop; occluded below one half."""
    start = np.array([[10, 20]], np.float32)
    _, state = next(chain(SureOrNot(sure), 0, start, [1], (1,), 2.0))
    assert state.visible[0] == visible
    np.testing.assert_allclose(state.variance, [variance], rtol=1e-5)
