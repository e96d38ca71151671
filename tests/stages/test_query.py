"""`query_tracks`: conventions and exactness of the result, and how bad queries fail."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.project import Project
from omnitrack.project.store import hops_file
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages import tracker as tracker_stage
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field, load_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.point_estimates import Estimates
from omnitrack.stages.point_tracker import PointTracker
from omnitrack.stages.query import query_tracks
from omnitrack.stages.tracker import query_stamp
from omnitrack.synthetic import SyntheticScene, occluder_scene
from omnitrack.tracks.tracks import Tracks

BACKGROUND = [(8.0, 6.0), (55.5, 40.25), (12.3, 41.9), (50.0, 5.0)]  # visible in every frame


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory, filtered_root: Path, small_settings: Settings) -> Project:
    """A fitted project; must not be changed."""
    project = Project(shutil.copytree(filtered_root, tmp_path_factory.mktemp("fitted") / "clip"))
    fit_field(project, small_settings, device="cpu")
    return project


@pytest.fixture(scope="module")
def queries(scene: SyntheticScene) -> NDArray[np.float32]:
    """40 points anywhere in any frame, not in order of the frames."""
    rng = np.random.default_rng(0)
    pixels = rng.uniform(0.05, 0.95, (40, 2)) * np.array(scene.size)
    return np.column_stack([rng.integers(0, 8, 40), pixels]).astype(np.float32)


@pytest.fixture(scope="module")
def answer(fitted: Project, queries: NDArray[np.float32], small_settings: Settings) -> Tracks:
    return query_tracks(fitted, queries, small_settings, device="cpu")


def same(a: Tracks, b: Tracks, tolerance_px: float = 1e-3) -> None:
    np.testing.assert_allclose(a.tracks, b.tracks, atol=tolerance_px)
    np.testing.assert_array_equal(a.visible, b.visible)
    np.testing.assert_allclose(a.confidence, b.confidence, atol=1e-3)
    np.testing.assert_allclose(a.depth, b.depth, atol=1e-4)


# --- conventions ------------------------------------------------------------------------------------------------
def test_shapes_and_ranges(answer: Tracks, queries: NDArray[np.float32], fitted: Project) -> None:
    assert answer.tracks.shape == (40, 8, 2)
    assert answer.tracks.dtype == np.float32
    assert answer.visible.shape == answer.confidence.shape == answer.depth.shape == (40, 8)
    assert answer.visible.dtype == bool
    for array in (answer.tracks, answer.confidence, answer.depth):
        assert np.isfinite(array).all()
    assert answer.confidence.min() >= 0
    assert answer.confidence.max() <= 1
    np.testing.assert_array_equal(answer.queries, queries)
    assert answer.frames.tolist() == list(range(8))
    assert (answer.size, answer.fps) == ((64, 48), 12.0)


def test_a_query_is_exactly_where_it_was_put(answer: Tracks, queries: NDArray[np.float32]) -> None:
    own = np.arange(40), queries[:, 0].astype(int)
    np.testing.assert_array_equal(answer.tracks[own], queries[:, 1:])
    assert answer.visible[own].all()
    assert (answer.confidence[own] == 1).all()


def test_what_tracks_were_made_from(answer: Tracks, fitted: Project, small_settings: Settings) -> None:
    assert answer.meta["frames"] == fitted.meta.fingerprint
    assert answer.meta["source"] == "scene"
    assert answer.meta["stamp"] == query_stamp(load_checkpoint(fitted).stamp, small_settings.query)


@pytest.mark.parametrize("frame", [0, 3, 7])
def test_tracks_go_both_ways_from_any_frame(
    fitted: Project, scene: SyntheticScene, small_settings: Settings, frame: int
) -> None:
    disc = scene.tracks(np.array([[0, 21.5, 24.0], [0, 24.0, 21.0]]))[0][:, frame]  # the disc's points in that frame
    points = np.concatenate([BACKGROUND, disc])
    queries = np.column_stack([np.full(len(points), frame), points]).astype(np.float32)
    exact, seen = scene.tracks(queries)
    queries, exact, seen = queries[seen[:, frame]], exact[seen[:, frame]], seen[seen[:, frame]]
    found = query_tracks(fitted, queries, small_settings, device="cpu")
    errors = np.linalg.norm(found.tracks - exact, axis=-1)
    assert errors[:4].max() < 0.3
    assert found.visible[:4].all()
    assert np.median(errors[seen]) < 0.3


def test_frames_are_answered_for_as_asked(
    fitted: Project, answer: Tracks, queries: NDArray[np.float32], small_settings: Settings
) -> None:
    some = query_tracks(fitted, queries, small_settings, frames=range(1, 7, 2), device="cpu")
    assert some.frames.tolist() == [1, 3, 5]
    assert some.tracks.shape == (40, 3, 2)
    for name in ("tracks", "visible", "confidence", "depth"):
        np.testing.assert_array_equal(getattr(some, name), getattr(answer, name)[:, 1:7:2])


def test_pixels_are_those_of_the_original_video(tmp_path: Path, small_settings: Settings) -> None:
    """Working frames of half the size: tracks, size, and the exactness of the query are those of the original video."""
    scene = occluder_scene((128, 96), 6, speed=4.0)
    settings = replace(small_settings, init=InitSettings(max_size=64))
    init_from_frames(scene.frames(), tmp_path / "half", settings, 12.0, "scene")
    project = Project(tmp_path / "half")
    assert project.size == (64, 48)
    compute_flow(project, settings)
    filter_flow(project, settings)
    fit_field(project, settings, device="cpu")
    queries = np.array([[2, 10.7, 85.2], [0, 110.1, 8.9], [5, 127.4, 95.4]], np.float32)
    found = query_tracks(project, queries, settings, device="cpu")
    assert found.size == (128, 96)
    np.testing.assert_array_equal(found.tracks[np.arange(3), [2, 0, 5]], queries[:, 1:])
    exact, _ = scene.tracks(queries)
    assert np.linalg.norm(found.tracks - exact, axis=-1)[:2].max() < 0.6
    with pytest.raises(OmnitrackError, match="outside the video") as caught:
        query_tracks(project, np.array([[0, 127.6, 3]]), settings, device="cpu")
    assert caught.value.hint == "the video is 128x96 pixels"


# --- independence -----------------------------------------------------------------------------------------------
def test_a_point_does_not_depend_on_the_others(
    fitted: Project, answer: Tracks, queries: NDArray[np.float32], small_settings: Settings
) -> None:
    for index in (0, 13, 39):
        alone = query_tracks(fitted, queries[index : index + 1], small_settings, device="cpu")
        np.testing.assert_allclose(alone.tracks[0], answer.tracks[index], atol=1e-3)
        np.testing.assert_array_equal(alone.visible[0], answer.visible[index])
        np.testing.assert_allclose(alone.confidence[0], answer.confidence[index], atol=1e-3)
        np.testing.assert_allclose(alone.depth[0], answer.depth[index], atol=1e-4)


def test_order_and_chunks_do_not_matter(
    fitted: Project,
    answer: Tracks,
    queries: NDArray[np.float32],
    small_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("omnitrack.stages.answer.CHUNK_POINTS", 3)
    back = query_tracks(fitted, queries[::-1], small_settings, device="cpu")
    assert np.abs(back.tracks[::-1] - answer.tracks).max() < 1e-3
    np.testing.assert_array_equal(back.visible[::-1], answer.visible)


class Counter(Progress, Task):
    """Sums up progress."""

    done = 0

    def task(self, *args: object, **options: object) -> Task:
        return self

    def advance(self, steps: int = 1, **values: object) -> None:
        self.done += steps


def test_points_of_all_frames_are_fused_together(
    fitted: Project, queries: NDArray[np.float32], small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points with a pin are fused separately, since they take more memory. Each point counts once."""
    counts, fuse = [], PointTracker.fused

    def fused(self: PointTracker, known: Estimates) -> NDArray[np.float32]:
        counts.append(len(known.expected.pixels))
        return fuse(self, known)

    monkeypatch.setattr(PointTracker, "fused", fused)
    for pins, expected in (([], [40]), ([[0, (queries[0, 0] + 1) % 8, 20.0, 20.0]], [1, 39])):
        counts.clear()
        counter = Counter()
        query_tracks(fitted, queries, small_settings, device="cpu", progress=counter, pins=pins or None)
        assert counts == expected
        assert counter.done == 40


def test_the_same_query_twice_gives_the_same_answer(
    fitted: Project, answer: Tracks, queries: NDArray[np.float32], small_settings: Settings
) -> None:
    same(query_tracks(fitted, queries.astype(np.float64), small_settings, device="cpu"), answer, 1e-6)


def test_without_fusion_the_field_answers_alone(fitted: Project, small_settings: Settings) -> None:
    settings = replace(small_settings, query=replace(small_settings.query, fuse=False))
    queries = np.array([[3, 10.3, 12.7], [3, 40.1, 30.9], [3, 5.55, 44.44]], np.float32)
    found = query_tracks(fitted, queries, settings, device="cpu")
    field = load_field(fitted, device="cpu")
    direct = field.track(3, queries[:, 1:], range(8))
    expected = direct.pixels.copy()
    expected[:, 3] = queries[:, 1:]
    np.testing.assert_allclose(found.tracks, expected, atol=1e-4)
    np.testing.assert_array_equal(found.tracks[:, 3], queries[:, 1:])
    visible = direct.visible.copy()
    visible[:, 3] = True
    np.testing.assert_array_equal(found.visible, visible)
    np.testing.assert_allclose(found.depth, direct.depth, atol=1e-6)


# --- how bad input fails ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ((0, np.nan, 5), "query 1 is not finite"),
        ((np.nan, 5, 5), "query 1 is not finite"),
        ((0, 5, np.inf), "query 1 is not finite"),
        ((8, 5, 5), "query 1 is in frame 8"),
        ((-1, 5, 5), "query 1 is in frame -1"),
        ((2.5, 5, 5), "query 1 is in frame 2.5"),
        ((0, -0.6, 5), r"query 1 at \(-0.6, 5\) is outside the video"),
        ((0, 63.6, 5), r"query 1 at \(63.6, 5\) is outside the video"),
        ((0, 5, 47.6), r"query 1 at \(5, 47.6\) is outside the video"),
        ((0, 5, -0.6), r"query 1 at \(5, -0.6\) is outside the video"),
    ],
)
def test_a_wrong_query_is_named(
    fitted: Project, small_settings: Settings, query: tuple[float, float, float], message: str
) -> None:
    queries = np.array([(0, 5, 5), query, (0, np.nan, 99)] if "finite" in message else [(0, 5, 5), query])
    with pytest.raises(OmnitrackError, match=message) as caught:
        query_tracks(fitted, queries, small_settings, device="cpu")
    assert caught.value.hint


def test_the_outer_edge_of_the_frame_still_counts(fitted: Project, small_settings: Settings) -> None:
    queries = np.array([[0, -0.5, -0.5], [0, 63.5, 47.5]], np.float32)
    found = query_tracks(fitted, queries, small_settings, device="cpu")
    np.testing.assert_array_equal(found.tracks[:, 0], queries[:, 1:])
    assert np.isfinite(found.tracks).all()


@pytest.mark.parametrize("shape", [(3,), (0, 3), (2, 2), (1, 2, 3)])
def test_queries_of_another_shape(fitted: Project, small_settings: Settings, shape: tuple[int, ...]) -> None:
    with pytest.raises(OmnitrackError, match=r"not \(N, 3\)") as caught:
        query_tracks(fitted, np.zeros(shape), small_settings, device="cpu")
    assert "--point" in (caught.value.hint or "")


@pytest.mark.parametrize("frames", [range(0, 9), range(-2, 2), range(7, 12)])
def test_frames_outside_the_clip(fitted: Project, small_settings: Settings, frames: range) -> None:
    with pytest.raises(OmnitrackError, match="goes beyond the project's frames") as caught:
        query_tracks(fitted, np.array([[0, 5, 5]]), small_settings, frames=frames, device="cpu")
    assert caught.value.hint == "they are 0 to 7"


def test_no_fitted_field(filtered_project: Project, small_settings: Settings) -> None:
    with pytest.raises(OmnitrackError, match="has no fitted field yet") as caught:
        query_tracks(filtered_project, np.array([[0, 5, 5]]), small_settings, device="cpu")
    assert "omnitrack fit" in (caught.value.hint or "")


def test_flow_that_is_gone(fitted: Project, small_settings: Settings, tmp_path: Path) -> None:
    project = Project(shutil.copytree(fitted.root, tmp_path / "copy"))
    project.product_path("flow").unlink()
    with pytest.raises(OmnitrackError, match="there is no flow yet"):
        query_tracks(project, np.array([[0, 5, 5]]), small_settings, device="cpu")


class Listener(Progress):
    """Records warnings."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def warn(self, text: str) -> None:
        self.heard.append(text)


def test_a_stale_fit_is_named(fitted: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener()
    query_tracks(fitted, np.array([[0, 20.0, 20.0]]), Settings(), progress=listener)
    assert listener.heard == []
    monkeypatch.setattr(tracker_stage, "fingerprint", lambda *parts: "something else")
    query_tracks(fitted, np.array([[0, 20.0, 20.0]]), Settings(), progress=listener)
    assert any(f"omnitrack fit {fitted.root}" in text for text in listener.heard)


def test_flow_that_nobody_has_judged_is_named(fitted: Project, tmp_path: Path) -> None:
    project, listener = Project(shutil.copytree(fitted.root, tmp_path / "copy")), Listener()
    hops_file(project).remove()
    tracks = query_tracks(project, np.array([[0, 20.0, 20.0]]), Settings(), progress=listener)
    assert np.isfinite(tracks.tracks).all()
    assert any(f"omnitrack filter {project.root}" in text for text in listener.heard)
