"""`Tracker`: warm answers equal those of a cold query, new products are noticed, and pins correct tracks."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.recovery import FollowedGrid
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore, flow_file
from omnitrack.settings import Settings
from omnitrack.stages.fit import fit_field
from omnitrack.stages.prepared_grids import PreparedGrids
from omnitrack.stages.query import query_tracks
from omnitrack.stages.tracker import CHAINED, FUSED, Tracker
from omnitrack.synthetic import SyntheticScene
from omnitrack.tracks.tracks import Tracks

ARRAYS = ("queries", "tracks", "visible", "confidence", "depth", "frames", "pins")
POINTS = np.array([[0, 8, 6], [3, 50.5, 5.25], [3, 20, 30], [7, 33.3, 41]], np.float32)
PINS = np.array([[1, 6, 49, 6], [2, 0, 21, 31], [2, 7, 22, 30]], np.float32)


@pytest.fixture(scope="module")
def fitted_root(tmp_path_factory: pytest.TempPathFactory, filtered_root: Path, small_settings: Settings) -> Path:
    root = shutil.copytree(filtered_root, tmp_path_factory.mktemp("fitted") / "clip")
    fit_field(Project(root), small_settings, device="cpu")
    return root


@pytest.fixture
def fitted(fitted_root: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(fitted_root, tmp_path / "fitted"))


def same(found: Tracks, expected: Tracks) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.meta == expected.meta


# --- warm -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pins", [None, PINS])
def test_warm_answers_are_those_of_a_cold_query(
    fitted: Project, small_settings: Settings, pins: NDArray[np.float32] | None
) -> None:
    cold = query_tracks(fitted, POINTS, small_settings, device="cpu", pins=pins)
    with Tracker(fitted, small_settings, "cpu") as tracker:
        assert tracker.state == FUSED
        for _ in range(2):
            same(tracker.query(POINTS, pins=pins), cold)
        part = tracker.query(POINTS, range(2, 5), pins)
    np.testing.assert_array_equal(part.tracks, cold.tracks[:, 2:5])


def test_flow_is_decoded_once(fitted: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    plain = FlowStore._read
    monkeypatch.setattr(FlowStore, "_read", lambda store, pair: read.append(pair) or plain(store, pair))
    with Tracker(fitted, small_settings, "cpu") as tracker:
        tracker.query(POINTS)
        assert len(read) == len(set(read)) > 0
        tracker.query(POINTS)
        assert len(read) == len(set(read))


def test_several_threads_may_ask(fitted: Project, small_settings: Settings) -> None:
    with Tracker(fitted, small_settings, "cpu") as tracker, ThreadPoolExecutor(4) as pool:
        alone = [tracker.query(POINTS[i : i + 1]) for i in range(4)]
        for found, expected in zip(pool.map(lambda i: tracker.query(POINTS[i : i + 1]), range(4)), alone, strict=True):
            same(found, expected)


def test_a_closed_tracker_says_so(fitted: Project, small_settings: Settings) -> None:
    with Tracker(fitted, small_settings, "cpu") as tracker:
        pass
    with pytest.raises(OmnitrackError, match="the tracker is closed") as caught:
        tracker.query(POINTS)
    assert "clip.tracker()" in (caught.value.hint or "")


def test_no_flow_no_tracker(project: Project) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        Tracker(project, Settings(), "cpu")


# --- what is new ------------------------------------------------------------------------------------------------
def test_from_flow_to_fit(
    matched_project: Project, filtered_root: Path, fitted_root: Path, small_settings: Settings, scene: SyntheticScene
) -> None:
    """After `flow`, queries return chains; products and checkpoints that appear are noticed at the next query."""
    truth = scene.tracks(POINTS[:1])[0]
    with Tracker(matched_project, small_settings, "cpu") as tracker:
        assert tracker.state == CHAINED
        chained = tracker.query(POINTS)
        assert np.linalg.norm(chained.tracks[:1] - truth, axis=-1).max() < 0.5
        assert np.isnan(chained.depth).all()
        assert set(chained.meta["stamp"]["inputs"]) == {"flow"}  # type: ignore[index]
        np.testing.assert_array_equal(chained.tracks[np.arange(4), [0, 3, 3, 7]], POINTS[:, 1:])
        assert not tracker.refresh()
        for name in ("hops", "filtered"):
            shutil.copy(filtered_root / "products" / f"{name}.h5", matched_project.products_dir)
        assert tracker.refresh()
        assert tracker.state == CHAINED
        shutil.copytree(fitted_root / "checkpoints", matched_project.checkpoints_dir, dirs_exist_ok=True)
        found = tracker.query(POINTS)
        assert tracker.state == FUSED
        same(found, query_tracks(matched_project, POINTS, small_settings, device="cpu"))


def test_a_newer_checkpoint_is_read_and_flow_is_kept(
    fitted: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tracker(fitted, small_settings, "cpu") as tracker:
        before = tracker.query(POINTS)
        longer = replace(small_settings, fit=replace(small_settings.fit, steps=25))
        fit_field(fitted, longer, device="cpu")
        monkeypatch.setattr(FlowStore, "_read", lambda store, pair: pytest.fail("flow has not changed"))
        after = tracker.query(POINTS)
    assert np.abs(before.depth - after.depth).max() > 0
    assert before.meta["stamp"] != after.meta["stamp"]


def test_flow_that_vanishes_is_an_error_until_it_is_back(fitted: Project, small_settings: Settings) -> None:
    path = flow_file(fitted).path
    with Tracker(fitted, small_settings, "cpu") as tracker:
        before = tracker.query(POINTS)
        path.rename(path.with_suffix(".old"))
        with pytest.raises(OmnitrackError, match="there is no flow yet"):
            tracker.query(POINTS)
        path.with_suffix(".old").rename(path)
        same(tracker.query(POINTS), before)


# --- pins -------------------------------------------------------------------------------------------------------
@pytest.fixture(params=["chained", "fused"])
def tracker(request: pytest.FixtureRequest, fitted: Project, small_settings: Settings) -> Tracker:
    """A tracker without and with a fit; closed with the process."""
    if request.param == "chained":
        shutil.rmtree(fitted.checkpoints_dir)
    return Tracker(fitted, small_settings, "cpu")


def test_a_pin_is_exactly_there_and_seen(tracker: Tracker) -> None:
    found = tracker.query(POINTS, pins=PINS)
    rows, frames = PINS[:, 0].astype(int), PINS[:, 1].astype(int)
    np.testing.assert_array_equal(found.tracks[rows, frames], PINS[:, 2:])
    np.testing.assert_array_equal(found.tracks[np.arange(4), POINTS[:, 0].astype(int)], POINTS[:, 1:])
    assert found.visible[rows, frames].all()
    assert (found.confidence[rows, frames] == 1).all()
    np.testing.assert_array_equal(found.pins, PINS)
    free = tracker.query(POINTS)
    np.testing.assert_array_equal(found.tracks[[0, 3]], free.tracks[[0, 3]])  # other tracks do not move


def test_a_pin_on_the_answer_moves_nothing(tracker: Tracker) -> None:
    points = np.array([[0, 8, 6], [3, 50.5, 5.25], [0, 12.3, 41.9]], np.float32)  # visible in every frame
    free = tracker.query(points)
    pinned = tracker.query(points, pins=[(i, t, *free.tracks[i, t]) for i, t in enumerate((6, 0, 4))])
    assert np.linalg.norm(pinned.tracks - free.tracks, axis=-1).max() < 0.1


def test_pins_do_not_depend_on_the_batch(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    together = tracker.query(POINTS, pins=PINS)
    alone = tracker.query(POINTS[1:2], pins=[(0, *PINS[0, 1:])])
    np.testing.assert_allclose(alone.tracks[0], together.tracks[1], atol=1e-3)
    monkeypatch.setattr("omnitrack.stages.answer.CHUNK_POINTS", 1)
    np.testing.assert_allclose(tracker.query(POINTS, pins=PINS[::-1]).tracks, together.tracks, atol=1e-3)


def test_a_pin_after_an_occlusion_mends_the_track(tracker: Tracker, scene: SyntheticScene) -> None:
    """Points of the disc pass behind the pole; pinned where they reappear, lost ones are found and none gets worse."""
    grid = np.stack(np.meshgrid(np.arange(3, 62, 2.0), np.arange(3, 46, 2.0)), -1).reshape(-1, 2)
    queries = np.column_stack([np.zeros(len(grid)), grid]).astype(np.float32)
    truth, seen = scene.tracks(queries)
    last = truth.shape[1] - 1
    rows = np.flatnonzero(seen[:, 0] & ~seen.all(1) & seen[:, last])
    assert len(rows) >= 5
    queries, truth, seen = queries[rows], truth[rows], seen[rows]
    pins = np.column_stack([np.arange(len(rows)), np.full(len(rows), last), truth[:, last]])
    free, pinned = tracker.query(queries), tracker.query(queries, pins=pins)
    before, after = (np.linalg.norm(found.tracks - truth, axis=-1) for found in (free, pinned))
    lost = before[:, last] > 2
    assert lost.any(), "some are lost without a pin"
    assert after[lost].mean() < 0.5 * before[lost].mean()
    assert ((after * seen).sum(1) < (before * seen).sum(1) + 0.1 * seen.sum(1)).all()
    assert (after.mean(1) < before.mean(1) + 0.3).all()  # occluded, they follow their company: larger errors


@pytest.mark.parametrize(
    ("pins", "message"),
    [
        ([(4, 0, 5, 5)], "pin 0 is of track 4"),
        ([(0, 1, 5, 5), (0.5, 0, 5, 5)], "pin 1 is of track 0.5"),
        ([(0, 8, 5, 5)], "pin 0 is in frame 8"),
        ([(0, 1.5, 5, 5)], r"pin 0 is in frame 1\.5"),
        ([(0, 1, 64, 5)], r"pin 0 at \(64, 5\) is outside the video"),
        ([(0, 1, np.nan, 5)], "pin 0 is not finite"),
        ([(0, 1, 5)], r"pins have shape \(1, 3\)"),
        ([(0, 1, 5, 5), (0, 1, 6, 5)], r"track 0 is in two places in frame 1: \(5, 5\) and \(6, 5\)"),
        ([(1, 3, 50, 5)], r"track 1 is in two places in frame 3: \(50, 5\) and \(50\.5, 5\.25\)"),
    ],
)
def test_a_wrong_pin_is_named(
    fitted: Project, small_settings: Settings, pins: list[tuple[float, ...]], message: str
) -> None:
    with pytest.raises(OmnitrackError, match=message) as caught:
        query_tracks(fitted, POINTS, small_settings, device="cpu", pins=pins)
    assert caught.value.hint


def test_a_pin_that_repeats_changes_nothing(tracker: Tracker) -> None:
    twice = np.concatenate([PINS, PINS[:1], [(0, *POINTS[0])]])
    same(tracker.query(POINTS, pins=twice), tracker.query(POINTS, pins=PINS))


# --- at once ----------------------------------------------------------------------------------------------------
def test_at_once_lost_points_are_found_again_once_that_is_prepared(
    fitted: Project, small_settings: Settings, scene: SyntheticScene
) -> None:
    grid = np.stack(np.meshgrid(np.arange(5, 62, 3.0), np.arange(5, 46, 3.0)), -1).reshape(-1, 2)
    points = np.concatenate([np.column_stack([np.full(len(grid), t), grid]) for t in (0, 6)]).astype(np.float32)
    whole = query_tracks(fitted, points, small_settings, device="cpu")
    with Tracker(fitted, small_settings, "cpu", at_once=True) as tracker:
        for changed in ((0, 6), (0,), ()):  # the frame that was asked for last is prepared first
            found, version = tracker.query(points), tracker.version
            for t in (0, 6):
                rows = points[:, 0] == t
                assert (found.tracks[rows] != whole.tracks[rows]).any() == (t in changed)
            same(tracker.query(points, patient=True), whole)
            assert tracker.prepare() == bool(changed) == (tracker.version == version + 1)
        same(found, whole)
        path = flow_file(fitted).path
        shutil.copy(path, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)
        assert (tracker.query(points).tracks != whole.tracks).any(), "grids of other flow do not count"
        assert tracker.prepare()


def test_a_patient_tracker_has_nothing_to_prepare(fitted: Project, small_settings: Settings) -> None:
    with Tracker(fitted, small_settings, "cpu") as tracker:
        tracker.query(POINTS)
        assert not tracker.prepare()


def test_grids_take_no_more_memory_than_allowed() -> None:
    grids, grid = PreparedGrids(most_bytes=100), cast(FollowedGrid, SimpleNamespace(nbytes=60))
    for t in range(3):
        assert grids.of(t) is None
    for t in (2, 1):
        assert grids.next_wanted() == t
        grids.keep(t, grid)
        assert grids.of(t) is grid
    grids.of(5)
    assert [grids.next_wanted(), grids.next_wanted()] == [0, None], "wanted before the memory was used up"
