"""A clip with cuts: `init` reports them, and nothing is matched, chained or visible across; or one project per shot."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.progress import Progress
from omnitrack.project.filtered import filtered_file
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.cuts import cuts_sentence, given_cuts
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.flow_pairs import selected_pairs
from omnitrack.stages.info import inspect_project
from omnitrack.stages.init import InitReport, init_from_frames, init_project
from omnitrack.stages.query import query_tracks
from omnitrack.stages.render_canvas import Canvas
from omnitrack.stages.render_track_styles import TrackView
from omnitrack.stages.run_shots import run_shots
from omnitrack.stages.shots import init_shots, shot_projects
from omnitrack.stages.tracker import Tracker
from omnitrack.synthetic import occluder_scene, translating_scene
from omnitrack.video.images import write_image


class Notes(Progress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Six frames of one scene, five of another: 64 x 48."""
    first, second = occluder_scene((64, 48), 6, speed=3.0), translating_scene((1.5, 0.5), (64, 48), 5, seed=3)
    return [*first.frames(), *second.frames()]


def with_cuts(settings: Settings, cuts: str) -> Settings:
    return replace(settings, init=replace(settings.init, cuts=cuts))


def made(
    frames: list[NDArray[np.uint8]], root: Path, settings: Settings, progress: Progress | None = None
) -> InitReport:
    return init_from_frames(frames, root, settings, 12.0, "scenes", progress or Progress())


@pytest.fixture(scope="module")
def fitted(
    tmp_path_factory: pytest.TempPathFactory, frames: list[NDArray[np.uint8]], small_settings: Settings
) -> Project:
    root = tmp_path_factory.mktemp("cut") / "clip"
    made(frames, root, small_settings)
    project = Project(root)
    compute_flow(project, small_settings)
    filter_flow(project, small_settings)
    fit_field(project, small_settings, "cpu")
    return project


# --- init -------------------------------------------------------------------------------------------------------
def test_a_cut_is_found_stored_and_said_in_one_line(tmp_path: Path, video: Path, small_settings: Settings) -> None:
    notes = Notes()
    assert init_project(video, tmp_path / "clip", small_settings, notes).cuts == [6]
    assert notes.said == [
        "1 cut, before frame 6: nothing is tracked across it; --split-at-cuts makes one project a shot"
    ]
    project = Project(tmp_path / "clip")
    assert project.shots == [range(6), range(6, 11)] and project.shot(6) == range(6, 11)
    assert inspect_project(project).cuts == [6]


def test_cuts_are_given_or_overruled(tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings) -> None:
    none = made(frames, tmp_path / "none", with_cuts(small_settings, "none"))
    given = made(frames, tmp_path / "given", with_cuts(small_settings, "9, 3"))
    assert (none.cuts, given.cuts) == ([], [3, 9])
    prints = [Project(tmp_path / name).meta.fingerprint for name in ("none", "given")]
    assert prints[0] != prints[1], "what is made of other shots is not the same"
    assert "cuts" not in json.loads((tmp_path / "none/frames/frames.json").read_text()), "as before there were cuts"


@pytest.mark.parametrize("text", ["soon", "3,", "-1", "3.5", ""])
def test_what_is_no_choice_of_cuts(text: str) -> None:
    with pytest.raises(OmnitrackError, match="neither auto, none nor frames"):
        given_cuts(text)


@pytest.mark.parametrize("text", ["0", "11", "3,400"])
def test_a_cut_outside_of_the_clip_leaves_no_project(
    tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings, text: str
) -> None:
    with pytest.raises(OmnitrackError, match="no shot can begin there, the project's frames are 0 to 10"):
        made(frames, tmp_path / "clip", with_cuts(small_settings, text))
    assert not (tmp_path / "clip").exists()


def test_the_sentence() -> None:
    assert cuts_sentence([48]) == "1 cut, before frame 48: nothing is tracked across it"
    assert cuts_sentence([48, 96]) == "2 cuts, before frames 48 and 96: nothing is tracked across them"
    assert cuts_sentence(range(1, 9)).startswith("8 cuts, before frames 1, 2, 3, 4, 5, 6 and 2 more: ")


# --- across a cut -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("spec", ["auto", "log", "exhaustive", "window:3", "keyframe"])
def test_pairs_of_a_shot_are_those_of_a_clip_of_its_own(
    tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings, spec: str
) -> None:
    settings = replace(small_settings, flow=replace(small_settings.flow, pairs=spec))
    alone = []
    for name, first, last in (("whole", 0, 11), ("first", 0, 6), ("second", 6, 11)):
        made(frames[first:last], tmp_path / name, settings)
        pairs = selected_pairs(Project(tmp_path / name), settings)
        alone.append([(source + first, target + first) for source, target in pairs])
    assert alone[0] == alone[1] + alone[2] and alone[2]


def test_a_pair_across_a_cut_is_refused(fitted: Project, small_settings: Settings) -> None:
    with pytest.raises(OmnitrackError, match="there is a cut between frames 5 and 6"):
        compute_flow(fitted, small_settings, pairs=[(5, 6)])


def test_nothing_is_matched_or_chained_across(fitted: Project) -> None:
    with FlowStore(fitted) as flows:
        assert all((source < 6) == (target < 6) for source, target in flows.pairs())
    with filtered_file(fitted).open() as file:
        targets = {int(name): file[name]["targets"][()].tolist() for name in file if name.isdecimal()}
    assert sorted(targets) == list(range(11))
    assert all((source < 6) == (target < 6) for source, found in targets.items() for target in found)
    assert targets[0] == [1, 2, 3, 4, 5]


def test_the_fit_knows_which_frames_have_a_neighbour_in_another_shot(fitted: Project) -> None:
    data = read_correspondences(fitted, torch.device("cpu"), 10**9)
    assert torch.nonzero(data.beside_cut).flatten().tolist() == [5, 6]


def test_a_point_is_tracked_within_its_shot_and_held_elsewhere(fitted: Project, small_settings: Settings) -> None:
    queries = np.array([[2, 20, 30], [8, 20, 30]], np.float32)
    found = query_tracks(fitted, queries, small_settings, device="cpu")
    first, second = slice(0, 6), slice(6, 11)
    assert found.visible[0, first].any() and found.visible[1, second].any()
    assert not found.visible[0, second].any() and not found.visible[1, first].any()
    assert not found.confidence[0, second].any() and not found.confidence[1, first].any()
    assert (found.tracks[0, second] == found.tracks[0, 5]).all(), "held at the last place of its shot"
    assert (found.tracks[1, first] == found.tracks[1, 6]).all(), "held at the first place of its shot"


def test_answers_of_a_shot_are_those_of_a_clip_of_its_own(
    tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings
) -> None:
    """With flow only: fields differ."""
    points = np.array([[8, 20, 30], [6, 40, 11], [10, 7, 7]], np.float32)
    found = []
    for name, first in (("whole", 0), ("second", 6)):
        made(frames[first:], tmp_path / name, small_settings)
        project = Project(tmp_path / name)
        compute_flow(project, small_settings)
        with Tracker(project, small_settings, "cpu") as tracker:
            found.append(tracker.query(points - np.float32([first, 0, 0])))
    whole, second = found
    for name in ("tracks", "visible", "confidence"):
        np.testing.assert_array_equal(getattr(whole, name)[:, 6:], getattr(second, name), err_msg=name)


def test_a_pin_beyond_a_cut_goes_on_with_the_track_there(
    tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings
) -> None:
    """Of three shots, the last begins in frame 9; in the second, the point has no known position."""
    settings = with_cuts(small_settings, "6,9")
    made(frames, tmp_path / "clip", settings)
    project = Project(tmp_path / "clip")
    compute_flow(project, settings)
    queries = np.array([[2, 20, 30], [10, 40, 20]], np.float32)
    with Tracker(project, settings, "cpu") as tracker:
        pinned = tracker.query(queries[:1], pins=[(0, *queries[1])])
        plain = tracker.query(queries)
    for name in ("tracks", "visible", "confidence"):
        both, first, last = getattr(pinned, name)[0], getattr(plain, name)[0], getattr(plain, name)[1]
        np.testing.assert_array_equal(both[:6], first[:6], err_msg=name)
        np.testing.assert_array_equal(both[9:], last[9:], err_msg=name)
    assert (pinned.tracks[0, 6:9] == pinned.tracks[0, 5]).all() and not pinned.visible[0, 6:9].any()
    assert (plain.tracks[1, :9] == plain.tracks[1, 9]).all() and not plain.visible[1, :9].any()


def test_tracks_are_drawn_in_the_shots_that_they_are_known_in(fitted: Project, small_settings: Settings) -> None:
    queries = np.array([[2, 20, 30], [8, 20, 30], [1, 30, 30]], np.float32)
    tracks = query_tracks(fitted, queries, small_settings, device="cpu", pins=[(2, 7, 40, 20)])
    drawn = np.isfinite(TrackView(Canvas(fitted, small_settings.render), tracks).pixels).all(-1)
    assert drawn.tolist() == [[True] * 6 + [False] * 5, [False] * 6 + [True] * 5, [True] * 11]


def test_a_shot_of_one_frame_has_no_correspondences(
    tmp_path: Path, frames: list[NDArray[np.uint8]], small_settings: Settings
) -> None:
    settings = with_cuts(small_settings, "1,6")
    made(frames, tmp_path / "clip", settings)
    project = Project(tmp_path / "clip")
    compute_flow(project, settings)
    filter_flow(project, settings)
    fit_field(project, settings, "cpu")
    found = query_tracks(project, np.array([[0, 20, 30]], np.float32), settings, device="cpu")
    assert found.visible[0].tolist() == [True] + [False] * 10
    assert np.allclose(found.tracks[0], (20, 30), atol=1e-3)


# --- one project per shot ---------------------------------------------------------------------------------------
@pytest.fixture
def video(tmp_path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    folder = tmp_path / "film"
    folder.mkdir()
    for t, frame in enumerate(frames):
        write_image(folder / f"{t:03d}.png", frame)
    return folder


def test_each_shot_is_what_init_with_start_and_end_makes(video: Path, small_settings: Settings) -> None:
    root = video.parent / "work"
    report = init_shots(video, root, small_settings)
    assert [Path(name).name for name in report.projects] == ["work-01", "work-02"]
    assert (report.shots, report.frames, report.skipped) == (2, 11, 0)
    assert sorted(path.name for path in video.parent.iterdir()) == ["film", "work-01", "work-02"]
    second = Project(root.with_name("work-02"))
    assert second.meta.indices == second.meta.numbers == [6, 7, 8, 9, 10] and second.meta.cuts == []
    settings = load_settings(second.settings_path)
    assert (settings.init.start, settings.init.end, settings.init.cuts) == (6, 11, "none")
    frames = [second.frame(t) for t in range(5)]
    made(frames, video.parent / "alone", small_settings)
    assert Project(video.parent / "alone").meta.fingerprint == second.meta.fingerprint


def test_indices_of_a_shot_are_the_videos(video: Path, small_settings: Settings) -> None:
    settings = replace(small_settings, init=replace(small_settings.init, start=1, stride=2, cuts="2"))
    init_shots(video, video.parent / "work", settings)
    found = [Project(path) for path in shot_projects(video.parent / "work")]
    assert [project.meta.indices for project in found] == [[1, 3], [5, 7, 9]]
    assert [load_settings(project.settings_path).init.start for project in found] == [1, 5]
    assert found[1].meta.fps == 12.0, "24 for images, divided by the stride"


def test_what_is_there_is_refused_before_the_video_is_read(video: Path, small_settings: Settings) -> None:
    (video.parent / "work-07").mkdir()
    with pytest.raises(OmnitrackError, match="work-07 is there already"):
        init_shots("no such video", video.parent / "work", small_settings)


def test_short_shots_are_skipped_with_a_word(video: Path, small_settings: Settings) -> None:
    notes = Notes()
    report = init_shots(video, video.parent / "work", with_cuts(small_settings, "1,6"), notes)
    assert report.skipped == 1 and Project(report.projects[0]).meta.indices == [1, 2, 3, 4, 5]
    assert notes.said == ["1 of 3 shots have a single frame: no projects of them"]  # nothing about splitting


def test_a_failure_leaves_nothing(video: Path, small_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("omnitrack.stages.shots.write_meta", full)
    with pytest.raises(OmnitrackError, match="No space left"):
        init_shots(video, video.parent / "work", small_settings)
    assert [path.name for path in video.parent.iterdir()] == ["film"]


def test_run_takes_every_shot_to_its_render_and_goes_on(video: Path, small_settings: Settings) -> None:
    settings, root = small_settings, video.parent / "work"
    with pytest.raises(UsageError, match="every shot has its own"):
        run_shots(video, root, settings, output=Path("one.mp4"))
    first = run_shots(video, root, settings, "4@0", device="cpu")
    assert [run.frames for run in first.runs] == [6, 5]
    assert all((Path(name) / "renders/trails.mp4").is_file() for name in first.projects)
    again = run_shots(video, root, settings, "4@0", device="cpu")
    assert all("fit" in run.kept for run in again.runs)
    other = replace(settings, init=replace(settings.init, max_size=32))
    with pytest.raises(OmnitrackError, match="holds other frames"):
        run_shots(video, root, other, "4@0", device="cpu")
    shutil.rmtree(root.with_name("work-01"))
    with pytest.raises(OmnitrackError, match="not the projects of the shots before it"):
        run_shots(video, root, settings, "4@0", device="cpu")
