"""`find_matches`: which frames it compares, that its matches are true, and that no finished work is lost."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from omnitrack.config import fingerprint
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress, Task
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.feature_store import features_file, write_features
from omnitrack.project.match_store import matches_file, read_matches
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.settings import FeatureSettings, FitSettings, MatchSettings, Settings
from omnitrack.stages import filter as filter_stage
from omnitrack.stages import match_frames, matching
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field, fit_stamp, settings_of
from omnitrack.stages.info import inspect_project
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.matching import find_matches, later_frames, match_stamp

FRAMES, SIZE, CELL = 6, (96, 64), 8
SHIFT = 0.35  # cells to the left in every frame
SETTINGS = replace(
    Settings(),
    features=FeatureSettings(extractor="waves"),
    matching=MatchSettings(
        enabled=True,
        least_gap=3,
        similarity=0.9,
        self_similarity=0.9,
        local_least=-1.0,
        isolation_px=(80.0,),
        patch_steps=0,
    ),
)


def waves(shift: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a texture of 64 waves on 8 x 12 cells, moved to the left by `shift` cells."""
    rng = np.random.default_rng(0)
    direction, phase = rng.normal(0, 0.8, (2, 64)), rng.uniform(0, 2 * math.pi, 64)
    y, x = np.mgrid[0 : SIZE[1] // CELL, 0 : SIZE[0] // CELL][..., None]
    values = np.cos((x + shift) * direction[0] + y * direction[1] + phase)
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True), np.float32)


@pytest.fixture(scope="module")
def featured_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("featured") / "clip"
    frames = np.random.default_rng(0).integers(0, 255, (FRAMES, SIZE[1], SIZE[0], 3), np.uint8)
    init_from_frames(frames, root, SETTINGS, 12.0, "noise")
    store_features(Project(root))
    return root


def store_features(project: Project, speed: float = SHIFT) -> None:
    stamp = make_stamp({"frames": project.meta.fingerprint}, {"speed": speed})
    parts = features_file(project).parts(stamp)
    for t in range(project.num_frames):
        parts.write(t, lambda file, t=t: write_features(file, t, waves(speed * t)))
    parts.merge(stamp, [])


@pytest.fixture
def featured(featured_root: Path, tmp_path: Path) -> Project:
    """Six frames with features of a moving texture."""
    return Project(shutil.copytree(featured_root, tmp_path / "clip"))


def with_matching(**changes: Any) -> Settings:
    return replace(SETTINGS, matching=replace(SETTINGS.matching, **changes))


class Interrupted(Progress, Task):
    """Stops the work after a number of steps."""

    def __init__(self, after: int) -> None:
        self.left, self.done = after, 0

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        self.done = done
        return self

    def advance(self, steps: int = 1, **values: float | str) -> None:
        self.left -= steps
        if self.left == 0:
            raise KeyboardInterrupt


def test_the_frames_of_a_short_clip_by_hand() -> None:
    assert later_frames(6, MatchSettings(least_gap=3)) == [[3, 4, 5], [4, 5], [5], [], [], []]
    assert later_frames(10, MatchSettings()) == [[]] * 10
    assert later_frames(11, MatchSettings())[0] == [10]


@pytest.mark.parametrize("frames", [35, 80, 1000])
def test_the_pairs_of_a_long_clip_grow_with_its_length_only(frames: int) -> None:
    later = later_frames(frames, MatchSettings())
    assert max(map(len, later)) <= 24
    gaps = later[0]
    assert (gaps[0], gaps[-1]) == (10, frames - 1)
    assert all(t in range(s + 10, frames) for s, targets in enumerate(later) for t in targets)
    steps = np.diff(gaps)
    assert (np.diff(steps) >= -1).all(), "ever sparser, but for rounding"
    assert steps[-1] >= steps[0]


def test_matches_are_where_the_texture_went(featured: Project) -> None:
    report = find_matches(featured, SETTINGS, device="cpu")
    rows = read_matches(featured)
    pairs = {(int(s), int(t)) for s, t in rows[:, [0, 3]]}
    assert pairs == {(0, 3), (0, 4), (0, 5), (1, 4), (1, 5), (2, 5)}
    assert (report.frame_pairs, report.matched_pairs, report.matches) == (6, 6, len(rows))
    assert report.median_similarity == pytest.approx(float(np.median(rows[:, 6])))
    gap = rows[:, 3] - rows[:, 0]
    error = rows[:, 4:6] - rows[:, 1:3] - np.stack([-CELL * SHIFT * gap, 0 * gap], -1)
    inner = (np.minimum(rows[:, 1], rows[:, 4]) > 12) & (np.minimum(rows[:, 2], rows[:, 5]) > 12)
    inner &= (np.maximum(rows[:, 1], rows[:, 4]) < SIZE[0] - 12) & (np.maximum(rows[:, 2], rows[:, 5]) < SIZE[1] - 12)
    assert inner.sum() > 50
    assert np.median(np.linalg.norm(error[inner], axis=-1)) < 0.6
    assert (rows[:, 6] > 0.9).all()


def test_two_frames_keep_so_many_matches_at_most_over_all_of_the_frame(featured: Project) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    every = read_matches(featured)
    find_matches(featured, with_matching(matches_per_pair=20), device="cpu")
    some = read_matches(featured)
    assert {tuple(row) for row in some.tolist()} < {tuple(row) for row in every.tolist()}
    for source, target in ((0, 3), (2, 5)):
        before, after = (rows[(rows[:, 0] == source) & (rows[:, 3] == target)] for rows in (every, some))
        assert 10 <= len(after) <= 20 < len(before)
        assert np.ptp(after[:, 2]) > 0.7 * np.ptp(before[:, 2])


def test_patches_move_the_ends_of_matches_a_little(featured: Project) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    before = read_matches(featured)
    find_matches(featured, with_matching(patch_steps=1), device="cpu")
    after = read_matches(featured)
    np.testing.assert_array_equal(after[:, [0, 3, 6]], before[:, [0, 3, 6]])
    moved = after[:, [1, 2]] - before[:, [1, 2]]
    np.testing.assert_allclose(moved, before[:, [4, 5]] - after[:, [4, 5]], atol=1e-4)
    pixel = math.sqrt(SIZE[0] * SIZE[1]) / 256
    assert 0 < np.abs(moved).max() <= 0.75 * pixel + 1e-4  # half of a step, and half of the parabola's range


def test_what_is_there_is_kept(featured: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    before = read_matches(featured)
    monkeypatch.setattr(match_frames, "match_cells", None)  # would fail
    assert find_matches(featured, SETTINGS, device="cpu").matches == len(before)
    np.testing.assert_array_equal(read_matches(featured), before)


def test_other_settings_or_features_are_matched_anew(featured: Project) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    first = matches_file(featured).stamp()
    assert find_matches(featured, with_matching(least_gap=4), device="cpu").frame_pairs == 3
    second = matches_file(featured).stamp()
    store_features(featured, speed=0.0)
    find_matches(featured, with_matching(least_gap=4), device="cpu")
    assert len({json.dumps(stamp) for stamp in (first, second, matches_file(featured).stamp())}) == 3
    rows = read_matches(featured)
    np.testing.assert_allclose(rows[:, 4:6], rows[:, 1:3], atol=1e-3)
    assert features_file(featured).path.exists()


def test_a_change_of_what_an_extractor_needs_makes_matches_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    own = replace(SETTINGS, matching=MatchSettings(enabled=True))
    before = match_stamp({}, own)
    changed = replace(SETTINGS.matching, similarity=0.123)
    monkeypatch.setattr(matching, "calibrated", lambda settings, extractor: changed)
    assert match_stamp({}, own) != before


def test_an_interrupted_run_goes_on(featured: Project) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    whole = read_matches(featured)
    other = with_matching(similarity=0.95)
    with pytest.raises(KeyboardInterrupt):
        find_matches(featured, other, Interrupted(after=2), device="cpu")
    assert matches_file(featured).has_parts()
    np.testing.assert_array_equal(read_matches(featured), whole)  # the old matches stay until the new ones are complete
    progress = Interrupted(after=99)
    find_matches(featured, other, progress, device="cpu")
    assert progress.done == 2
    assert not matches_file(featured).has_parts()
    np.testing.assert_array_equal(read_matches(featured), whole[whole[:, 6] > 0.95])


@pytest.mark.parametrize(
    "settings", [with_matching(enabled=False), replace(SETTINGS, features=FeatureSettings(extractor="none"))]
)
def test_matches_that_are_no_longer_wanted_go(featured: Project, settings: Settings) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    assert find_matches(featured, settings, device="cpu").matches == 0
    assert len(read_matches(featured)) == 0
    assert matches_file(featured).stamp() is None
    assert features_file(featured).path.exists()
    assert not matches_file(featured).path.exists()


def test_without_features_it_says_so(featured: Project) -> None:
    features_file(featured).remove()
    with pytest.raises(OmnitrackError, match="has no features"):
        find_matches(featured, SETTINGS, device="cpu")


def test_frames_too_near_each_other_have_no_matches(featured: Project) -> None:
    report = find_matches(featured, with_matching(least_gap=10), device="cpu")
    assert (report.frame_pairs, report.matches, report.median_similarity) == (0, 0, None)
    assert matches_file(featured).stamp() is not None


def test_matches_are_rows_of_single_floats(featured: Project) -> None:
    find_matches(featured, SETTINGS, device="cpu")
    with h5py.File(featured.product_path("matches"), "r") as file:
        assert sorted(file) == ["000000", "000001", "000002"]
        assert all(group["rows"].dtype == np.float32 for group in file.values())


# --- in a project ------------------------------------------------------------------------------------------------
@pytest.fixture
def matched(filtered_project: Project) -> Project:
    """A filtered project with features and matches."""
    store_features(filtered_project)
    find_matches(filtered_project, SETTINGS, device="cpu")
    return filtered_project


def state_of(project: Project, name: str) -> tuple[str, str]:
    product = next(product for product in inspect_project(project).products if product.name == name)
    return product.state, product.reason


def test_the_filter_stage_looks_for_them(
    matched_project: Project, small_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(filter_stage, "find_matches", lambda *arguments: calls.append(arguments))
    filter_flow(matched_project, small_settings, device="cpu")
    assert [(call[0], call[1], call[3]) for call in calls] == [(matched_project, small_settings, "cpu")]


def test_info_shows_them(matched: Project) -> None:
    names = [product.name for product in inspect_project(matched).products]
    assert names.index("filter") < names.index("matching") < names.index("fit")
    assert state_of(matched, "matching")[0] == "ready"
    store_features(matched, speed=0.1)
    state, reason = state_of(matched, "matching")
    assert state == "stale"
    assert "features" in reason


def test_info_says_nothing_of_matches_where_there_are_none(filtered_project: Project) -> None:
    assert "matching" not in [product.name for product in inspect_project(filtered_project).products]


def test_a_fit_is_stale_when_its_matches_change(matched: Project, small_settings: Settings) -> None:
    fit_field(matched, small_settings, device="cpu")
    made = load_checkpoint(matched).stamp
    assert made["inputs"]["matches"] == fingerprint(matches_file(matched).stamp())
    assert state_of(matched, "fit") == ("ready", "")
    find_matches(matched, with_matching(similarity=0.95), device="cpu")
    state, reason = state_of(matched, "fit")
    assert (state, reason) == ("stale", "made from other matches")
    find_matches(matched, with_matching(enabled=False), device="cpu")
    assert state_of(matched, "fit")[0] == "stale"


def test_a_fit_that_draws_no_matches_does_not_depend_on_them(matched: Project, small_settings: Settings) -> None:
    settings = replace(small_settings, fit=replace(small_settings.fit, matches=0))
    fit_field(matched, settings, device="cpu")
    assert "matches" not in load_checkpoint(matched).stamp["inputs"]
    find_matches(matched, with_matching(similarity=0.95), device="cpu")
    assert state_of(matched, "fit") == ("ready", "")


def test_a_fit_goes_on_only_with_the_same_matches(matched: Project, small_settings: Settings) -> None:
    fit_field(matched, small_settings, device="cpu")
    assert fit_field(matched, small_settings, device="cpu", resume=True).resumed_from == 15
    find_matches(matched, with_matching(similarity=0.95), device="cpu")
    with pytest.raises(OmnitrackError, match="other data"):
        fit_field(matched, small_settings, device="cpu", resume=True)


def test_without_matches_the_stamp_of_a_fit_says_nothing_of_them(small_settings: Settings) -> None:
    stamp = fit_stamp({}, small_settings.fit, 0)
    assert "matches" not in stamp["inputs"]
    assert not {"matches", "match_weights"} & set(stamp["settings"])
    left_out = ("checkpoint_seconds", "threads", "matches", "match_weights", "omnimotion", "plain_2d")
    assert settings_of(stamp) == replace(small_settings.fit, **{key: getattr(FitSettings(), key) for key in left_out})
