"""`filter_flow`: what it accepts is true, its numbers match the file, and no finished work is lost."""

from __future__ import annotations

import gc
import resource
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch

from omnitrack.correspondence.raster import inside, pixel_grid
from omnitrack.correspondence.revisits import MOST_TARGETS
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.progress import Progress, Task
from omnitrack.project.filtered import filtered_file
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.flow_codec import decode_steps
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import MemorySettings, Settings
from omnitrack.stages.filter import FilterReport, _Chaining, filter_flow, filter_stamp, finds_again, target_distances
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.frame_jobs import Budget
from omnitrack.stages.hops import judge_hops
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import SyntheticScene, occluder_scene, panorama_scene, translating_scene
from omnitrack.workers import helpers


def with_filter(settings: Settings, **changes: Any) -> Settings:
    return replace(settings, filter=replace(settings.filter, **changes))


def read(project: Project) -> Correspondences:
    return read_correspondences(project, torch.device("cpu"), 10**9)


def contents(project: Project, product: str = "filtered") -> dict[str, Any]:
    """Return every array of a product by its path, as bytes so that NaN equals NaN."""
    arrays: dict[str, Any] = {}
    with h5py.File(project.product_path(product), "r") as file:
        file.visititems(
            lambda name, item: arrays.update({name: item[()].tobytes()}) if isinstance(item, h5py.Dataset) else None
        )
    return arrays


@contextmanager
def groups(project: Project) -> Iterator[dict[int, h5py.Group]]:
    with h5py.File(project.product_path("filtered"), "r") as file:
        yield {int(name): group for name, group in file.items()}


# --- what is accepted -------------------------------------------------------------------------------------------
def test_correspondences_are_close_to_the_exact_ones(filtered_project: Project, scene: SyntheticScene) -> None:
    data = read(filtered_project)
    grid = data.grid.numpy()
    assert data.sources.tolist() == list(range(8))
    errors, believed_seen, believed_hidden, gone_believed = [], [], [], []
    for s in range(8):
        tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), s), grid]))
        for k, t in enumerate(data.targets[s].tolist()):
            landed = grid + data.displacement[s, k].numpy() * data.unit_px
            sure = data.confidence[s, k].numpy() > 0
            occluded = data.occluded[s, k].numpy()
            errors.append(np.linalg.norm(landed - tracks[:, t], axis=-1)[sure & visible[:, t]])
            believed_seen.append((sure & ~occluded)[visible[:, t]])
            believed_hidden.append((sure & ~occluded)[~visible[:, t] & inside(tracks[:, t], scene.size)])
            gone_believed.append((~visible[:, t])[occluded])
    assert np.median(np.concatenate(errors)) < 0.1
    assert np.quantile(np.concatenate(errors), 0.95) < 0.5
    assert np.concatenate(believed_seen).mean() > 0.9
    assert np.concatenate(believed_hidden).mean() < 0.5, "flow drags some points along with what covers them"
    assert np.concatenate(gone_believed).mean() > 0.5


def test_surer_correspondences_are_better(filtered_project: Project, scene: SyntheticScene) -> None:
    data = read(filtered_project)
    grid = data.grid.numpy()
    tracks, _ = scene.tracks(np.column_stack([np.zeros(len(grid)), grid]))
    displacement = data.displacement[0].numpy() * data.unit_px
    errors = np.stack(
        [np.linalg.norm(grid + d - tracks[:, t], axis=-1) for d, t in zip(displacement, range(1, 8), strict=True)]
    )
    confidence = data.confidence[0].numpy()
    low, high = np.quantile(confidence[confidence > 0], [0.1, 0.8])
    sure, doubtful = confidence >= high, (confidence > 0) & (confidence <= low)
    assert sure.sum() > 50 and doubtful.sum() > 50
    assert errors[sure].mean() < 0.5 * errors[doubtful].mean()


def test_what_looks_different_is_not_believed(matched_project: Project, small_settings: Settings) -> None:
    """In frame 6 noise covers the upper left corner after its flow was measured: only appearance can detect it."""
    frame = matched_project.frame(6)
    frame[:16, :16] = 255 * np.random.default_rng(0).integers(0, 2, (16, 16, 1))
    cv2.imwrite(str(matched_project.frame_path(6)), frame[..., ::-1])
    with_check = filter_flow(matched_project, small_settings)
    data = read(matched_project)
    corner = ((data.grid[:, 0] > 2) & (data.grid[:, 0] < 13) & (data.grid[:, 1] > 2) & (data.grid[:, 1] < 13)).numpy()
    far = (data.targets == 6) & ((data.sources - 6).abs() >= 3)[:, None]
    near = (data.targets == 6) & ((data.sources - 6).abs() < 3)[:, None]
    confidence = data.confidence.numpy() > 0
    assert confidence[far.numpy()][:, corner].mean() < 0.1
    assert confidence[near.numpy()][:, corner].mean() > 0.9, "over one and two frames patches are not compared"
    assert confidence[far.numpy()][:, ~corner].mean() > 0.7

    without = filter_flow(matched_project, with_filter(small_settings, appearance_threshold=-1.0))
    assert with_check.appearance_rejected_share > without.appearance_rejected_share == 0
    assert (read(matched_project).confidence.numpy() > 0)[far.numpy()][:, corner].mean() > 0.9


def test_confidence_falls_with_similarity_from_three_frames_on(
    matched_project: Project, small_settings: Settings
) -> None:
    coarse = replace(small_settings.flow, dis=replace(small_settings.flow.dis, side=0, two_starts=False))
    compute_flow(matched_project, replace(small_settings, flow=coarse))  # wrong often enough for doubtful appearance
    filter_flow(matched_project, with_filter(small_settings, appearance_threshold=-1.0))  # not compared
    flow_alone = read(matched_project).confidence.numpy().astype(int)
    filter_flow(matched_project, small_settings)
    data = read(matched_project)
    found = data.confidence.numpy().astype(int)
    far = ((data.targets - data.sources[:, None]).abs() >= 3).numpy()
    np.testing.assert_array_equal(found[~far], flow_alone[~far])
    kept = found[far] > 0
    assert (found[far] <= flow_alone[far] + 1).all()
    assert (found[far] < flow_alone[far] - 5)[kept].mean() > 0.05


def test_a_lower_threshold_believes_less(matched_project: Project, small_settings: Settings) -> None:
    counts = []
    for threshold in (0.1, 0.5, 4.0):
        settings = with_filter(small_settings, cycle_threshold_px=threshold)
        counts.append(filter_flow(matched_project, settings).correspondences)
    assert counts == sorted(counts)
    assert counts[0] < 0.95 * counts[2]


# --- its numbers ------------------------------------------------------------------------------------------------
def test_count_map_and_statistics_are_those_of_the_data(filtered_project: Project) -> None:
    points = len(pixel_grid((64, 48), 2))
    with groups(filtered_project) as sources:
        assert sorted(sources) == list(range(8))
        for source, group in sources.items():
            confidence, occluded = group["confidence"][()], group["occluded"][()]
            assert group["targets"][()].tolist() == [*range(source + 1, 8), *range(source - 1, -1, -1)]
            assert confidence.shape == (7, points)
            np.testing.assert_array_equal(group["count"][()], (confidence > 0).sum(0))
            statistics = group["statistics"][()]
            np.testing.assert_array_equal(statistics["valid"], (confidence > 0).sum(1))
            np.testing.assert_array_equal(statistics["occluded"], occluded.sum(1))
            believed = [c[c > 0].mean() / 255 for c in confidence]
            np.testing.assert_allclose(statistics["mean_confidence"], believed, atol=1 / 255)
            assert (statistics["median_error_px"] < 0.5).all()
            gap = np.abs(group["targets"][()] - source)
            assert not statistics["rejected"][gap < 3].any()


def test_report_sums_the_statistics_up(matched_project: Project, small_settings: Settings) -> None:
    report = filter_flow(matched_project, small_settings)
    data = read(matched_project)
    confidence = data.confidence.numpy()
    believed = confidence > 0
    assert (report.sources, report.pairs) == (8, 56)
    assert report.correspondences == believed.sum()
    assert report.valid_share == pytest.approx(believed.mean())
    assert report.occluded_share == pytest.approx(data.occluded.numpy().sum() / believed.sum())
    assert report.mean_confidence == pytest.approx(confidence[believed].mean() / 255, abs=1 / 255)
    assert report.bytes == matched_project.product_path("filtered").stat().st_size
    assert 0 < report.appearance_rejected_share < 0.1


def test_stamps_say_what_it_was_made_from(filtered_project: Project, small_settings: Settings) -> None:
    with FlowStore(filtered_project) as store:
        assert store.flow_stamp is not None
        assert filtered_file(filtered_project).stamp() == filter_stamp(store.flow_stamp, small_settings.filter)
        assert len(store.pairs()) == 34, "the flow is still there: both ways of 7 + 6 + 4 pairs"
        assert store.flow(0, 4).shape == (48, 64, 2)


@pytest.mark.parametrize(("points", "shape"), [(3072, (48, 64)), (3071, (24, 32)), (200, (12, 16))])
def test_grid_is_as_dense_as_it_may_be(
    matched_project: Project, small_settings: Settings, points: int, shape: tuple[int, int]
) -> None:
    filter_flow(matched_project, with_filter(small_settings, grid_points=points))
    assert read(matched_project).grid_shape == shape


@pytest.mark.parametrize(
    ("num_frames", "window", "expected"),
    [
        (2, 0, [1]),
        (8, 0, [1, 2, 3, 4, 5, 6, 7]),
        (30, 0, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 29]),
        (30, 11, [1, 2, 3, 4, 5, 6, 7, 8, 10, 11]),  # none is farther than the window
        (30, 3, [1, 2, 3]),
        (101, 0, [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 17, 20, 24, 29, 35, 42, 50]),  # long clips have a window
    ],
)
def test_target_distances(num_frames: int, window: int, expected: list[int]) -> None:
    assert sorted(target_distances(num_frames, window)) == expected


def test_window_limits_the_targets(matched_project: Project, small_settings: Settings) -> None:
    filter_flow(matched_project, with_filter(small_settings, window=2))
    data = read(matched_project)
    assert data.targets[3].tolist() == [4, 5, 2, 1]
    assert data.targets[0].tolist() == [1, 2, -1, -1]


# --- points found again ------------------------------------------------------------------------------------------
def test_points_that_their_surroundings_find_again_are_trusted(tmp_path: Path, small_settings: Settings) -> None:
    """A disc passes behind a pole in the second of two shots, whose frames are numbered from its first one."""
    before, scene = translating_scene((1.5, 0.5), (96, 64), 2, seed=3), occluder_scene((96, 64), 10, speed=6.0)
    settings = with_filter(small_settings, grid_points=2000, gaps=(1,))  # no hop leads over the pole
    settings = replace(settings, init=replace(settings.init, cuts="2"))
    init_from_frames([*before.frames(), *scene.frames()], tmp_path / "clip", settings, 12.0, "shots")
    project = Project(tmp_path / "clip")
    compute_flow(project, settings)
    found = []
    for again in (False, True):
        filter_flow(project, with_filter(settings, found_again=again))
        found.append(read(project))
    without, data = found
    grid, errors, seen = data.grid.numpy(), [], []
    for s in range(2, 12):
        tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), s - 2), grid]))
        for k, t in enumerate(data.targets[s].tolist()):
            if t >= 0:
                sure, was = (((d.confidence[s, k] > 0) & ~d.occluded[s, k]).numpy() for d in (data, without))
                newly = sure & ~was & (scene.top_layer(s - 2, grid) == 1)
                landed = grid + data.displacement[s, k].numpy() * data.unit_px
                errors.append(np.linalg.norm(landed - tracks[:, t - 2], axis=-1)[newly])
                seen.append(visible[newly, t - 2])
    right = np.concatenate(seen) & (np.concatenate(errors) < 2)
    assert len(right) > 20
    assert right.mean() > 0.8


@pytest.mark.parametrize(
    ("first", "length", "every", "count"),
    [(0, 1, 1, 1), (7, 48, 1, 48), (0, 49, 2, 25), (100, 96, 2, 48), (3, 512, 11, 47)],
)
def test_long_shots_find_points_again_in_some_frames(first: int, length: int, every: int, count: int) -> None:
    shot = range(first, first + length)
    chosen = [source for source in shot if finds_again(source, shot)]
    assert chosen == list(shot[::every])
    assert len(chosen) == count


# --- places that come back into view ----------------------------------------------------------------------------
@pytest.fixture(scope="module")
def returning(tmp_path_factory: pytest.TempPathFactory, small_settings: Settings) -> tuple[Project, SyntheticScene]:
    """A camera that passes a place and returns, 22 frames each way, matched by keyframes and chained over 4 frames."""
    scene = panorama_scene((64, 48), 45, sweep=22)
    root = tmp_path_factory.mktemp("returning") / "clip"
    settings = replace(small_settings, flow=replace(small_settings.flow, pairs="keyframe"))
    init_from_frames((scene.frame(t) for t in range(45)), root, settings, 24.0, "panorama")
    compute_flow(Project(root), settings)
    filter_flow(Project(root), with_filter(settings, window=4, grid_points=300))
    return Project(root), scene


def test_far_frames_that_show_the_place_again_are_targets(returning: tuple[Project, SyntheticScene]) -> None:
    project, scene = returning
    data = read(project)
    grid, believed, errors = data.grid.numpy(), 0, []
    for s in range(0, 45, 4):
        far = [k for k, t in enumerate(data.targets[s].tolist()) if t >= 0 and abs(t - s) > 4]
        assert len(far) <= MOST_TARGETS
        tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), s), grid]))
        for k in far:
            target = int(data.targets[s, k])
            sure = (data.confidence[s, k] > 0).numpy() & ~data.occluded[s, k].numpy()
            landed = grid + data.displacement[s, k].numpy() * data.unit_px
            errors.append(np.linalg.norm(landed - tracks[:, target], axis=-1)[sure & visible[:, target]])
            believed += int(sure.sum())
    right = np.concatenate(errors)
    assert believed > 500
    assert len(right) > 0.9 * believed, "most of what is believed is seen there"
    assert np.median(right) < 0.3
    assert np.mean(right < 2) > 0.9


def test_frames_on_either_side_of_the_turn_are_joined(returning: tuple[Project, SyntheticScene]) -> None:
    data = read(returning[0])
    joined = [
        any(abs(t - s) > 20 for t in targets if t >= 0) for s, targets in enumerate(data.targets.tolist()) if s < 9
    ]
    assert np.mean(joined) > 0.8


def test_memory_for_flow_changes_nothing_but_the_time(
    matched_project: Project, filtered_project: Project, small_settings: Settings
) -> None:
    heard: list[str] = []
    progress = Progress()
    progress.note = heard.append  # type: ignore[method-assign]
    settings = replace(small_settings, memory=MemorySettings(max_gb=0.0))
    filter_flow(matched_project, settings, progress)
    assert contents(matched_project) == contents(filtered_project)
    assert (
        [line for line in heard if line.endswith("with --max-memory 0.7GB it takes a fraction of the time")]
        == heard
        != []
    )
    matched_project.product_path("filtered").unlink()
    filter_flow(matched_project, small_settings, progress)
    assert len(heard) == 1


# --- again, and after an interruption ---------------------------------------------------------------------------
class Interrupted(Progress):
    """Presses Ctrl-C after a number of steps, and records where each task began."""

    def __init__(self, after: int | None = None) -> None:
        self.done_before: list[int] = []
        self._after = after

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.done_before.append(done)
        progress = self

        class Counting(Task):
            seen = 0

            def advance(self, steps: int = 1, **values: float | str) -> None:
                self.seen += steps
                if self.seen == progress._after:
                    raise KeyboardInterrupt

        return Counting()


def test_an_interrupted_run_goes_on_from_what_it_has(
    matched_project: Project, filtered_project: Project, small_settings: Settings
) -> None:
    judge_hops(matched_project, small_settings)
    with pytest.raises(KeyboardInterrupt):
        filter_flow(matched_project, small_settings, Interrupted(after=3))
    assert filtered_file(matched_project).has_parts()
    assert filtered_file(matched_project).stamp() is None
    progress = Interrupted()
    report = filter_flow(matched_project, small_settings, progress)
    assert progress.done_before[0] >= 3
    assert report.sources == 8
    assert contents(matched_project) == contents(filtered_project)
    assert not filtered_file(matched_project).has_parts()


def test_parts_of_other_settings_are_not_taken_up(
    matched_project: Project, filtered_project: Project, small_settings: Settings
) -> None:
    judge_hops(matched_project, small_settings)
    with pytest.raises(KeyboardInterrupt):
        filter_flow(matched_project, with_filter(small_settings, cycle_threshold_px=0.2), Interrupted(after=3))
    progress = Interrupted()
    filter_flow(matched_project, small_settings, progress)
    assert progress.done_before == [0]
    assert contents(matched_project) == contents(filtered_project)


def test_other_settings_replace_what_was_there(filtered_project: Project, small_settings: Settings) -> None:
    settings = with_filter(small_settings, window=1)
    report = filter_flow(filtered_project, settings)
    assert report.pairs == 14
    with groups(filtered_project) as sources:
        assert all(len(group["targets"]) <= 2 for group in sources.values())
    with FlowStore(filtered_project) as store:
        assert filtered_file(filtered_project).stamp() == filter_stamp(store.flow_stamp, settings.filter)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # HDF5 complains when it closes, too
def test_a_full_disk_keeps_the_flow(matched_project: Project, small_settings: Settings) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # Python ignores the signal: writing more is an error
    try:
        with pytest.raises(OmnitrackError, match="cannot write"):
            filter_flow(matched_project, small_settings)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with FlowStore(matched_project) as store:
        assert store.flow(0, 1).shape == (48, 64, 2)
    assert isinstance(filter_flow(matched_project, small_settings), FilterReport)


# --- how bad input fails ----------------------------------------------------------------------------------------
def test_no_flow(project: Project, small_settings: Settings) -> None:
    with pytest.raises(OmnitrackError, match="there is no flow yet") as caught:
        filter_flow(project, small_settings)
    assert caught.value.hint == f"compute it: omnitrack flow {project.root}"


def test_flow_of_other_frames(matched_project: Project, small_settings: Settings) -> None:
    write_meta(matched_project.frames_dir, replace(matched_project.meta, fingerprint="another"))
    with pytest.raises(OmnitrackError, match="other frames") as caught:
        filter_flow(Project(matched_project.root), small_settings)
    assert "omnitrack flow" in (caught.value.hint or "")


def test_a_missing_frame_is_named(matched_project: Project, small_settings: Settings) -> None:
    matched_project.frame_path(5).unlink()
    with pytest.raises(OmnitrackError, match=r"frame 5 .* is missing"):
        filter_flow(matched_project, small_settings)


@pytest.mark.parametrize("gaps", [(), (0, 1), (-1, 2)])
def test_gaps_that_lead_nowhere(matched_project: Project, small_settings: Settings, gaps: tuple[int, ...]) -> None:
    with pytest.raises(OmnitrackError, match=r"filter.gaps") as caught:
        filter_flow(matched_project, with_filter(small_settings, gaps=gaps))
    assert caught.value.hint


def test_caches_go_when_nothing_uses_them(matched_project: Project, small_settings: Settings) -> None:
    """They hold hundreds of megabytes, and a reference cycle would keep them until some later collection."""
    settings = replace(small_settings.filter, found_again=True)
    gc.disable()
    try:
        with _Chaining(matched_project, settings, False, Budget(1, 1 << 20, 1 << 20)) as work:
            work._correspondences(0)
            parts = work, work._appearance, work._recovery(matched_project.shot(0))
            alive = [weakref.ref(part) for part in parts]
        del work, parts
        assert [reference() for reference in alive] == [None, None, None]
    finally:
        gc.enable()


def test_helpers_change_nothing(
    matched_project: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hops and correspondences of one process and of two are the same bytes."""
    settings = with_filter(small_settings, found_again=True)
    monkeypatch.setattr("omnitrack.stages.frame_jobs.usable_cores", lambda: 1)
    filter_flow(matched_project, settings)
    alone = {name: contents(matched_project, name) for name in ("filtered", "hops")}
    for name in alone:
        matched_project.product_path(name).unlink()
    monkeypatch.setattr("omnitrack.stages.frame_jobs.usable_cores", lambda: 2)
    monkeypatch.setattr(helpers, "HESITATION_SECONDS", 0.0)
    monkeypatch.setattr(helpers, "WORTH_SECONDS", 0.0)
    here = []
    write = _Chaining.write

    def after_a_helper(self: _Chaining, source: int, file: h5py.File) -> None:
        end = time.monotonic() + 30
        while not any(filtered_file(matched_project).parts_dir.glob("*.h5")) and time.monotonic() < end:
            time.sleep(0.02)
        here.append(source)
        write(self, source, file)

    monkeypatch.setattr(_Chaining, "write", after_a_helper)  # in this process only
    filter_flow(matched_project, settings)
    assert 0 < len(here) < matched_project.num_frames
    assert {name: contents(matched_project, name) for name in alone} == alone


def test_each_flow_is_decoded_once(
    matched_project: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cache that is smaller than what all jobs read would be of little use: they read it in the same order."""
    decoded = []
    monkeypatch.setattr(
        "omnitrack.project.store.decode_steps", lambda encoded: decoded.append(1) or decode_steps(encoded)
    )
    judge_hops(matched_project, small_settings)
    with FlowStore(matched_project) as flows:
        pairs = len(flows.pairs())
    assert len(decoded) == pairs
    filter_flow(matched_project, with_filter(small_settings, found_again=True))
    assert len(decoded) == 2 * pairs
