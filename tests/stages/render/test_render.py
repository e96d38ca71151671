from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.drawing.palette import LABEL_COLOURS, UNLABELLED
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.project.project import Project
from omnitrack.settings import RenderSettings, Settings
from omnitrack.stages.render import render
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.synthetic import SyntheticScene
from omnitrack.tracks.tracks import Tracks
from omnitrack.video.reading import open_video

SETTINGS = Settings(render=RenderSettings(min_side=192, brightness=1.0, legend=False))
TRACK_STYLES = ("points", "trails", "grid", "compare")


@pytest.fixture
def tracks(scene: SyntheticScene) -> Tracks:
    """A 6 x 4 grid in the first frame, exactly tracked."""
    queries = np.array([[0, x, y] for y in range(8, 64, 16) for x in range(8, 96, 16)], np.float32)
    pixels, visible = scene.tracks(queries)
    frames = np.arange(scene.num_frames)
    return Tracks(queries, pixels, visible, visible.astype(np.float32), 0 * pixels[..., 0], frames, (96, 64), 12.0)


def pictures(folder: Path) -> list[NDArray[np.uint8]]:
    return [cv2.imread(str(path))[..., ::-1] for path in sorted(folder.glob("*.png"))]


@pytest.mark.parametrize("style", TRACK_STYLES)
def test_every_style_makes_a_video(project: Project, tracks: Tracks, style: str) -> None:
    report = render(project, SETTINGS, tracks, style, None)
    path = project.renders_dir / f"{style}.mp4"
    width = 582 if style == "compare" else 288  # two images and the gap between them
    assert (report.output, report.style, report.frames, report.points) == (str(path), style, 6, 24)
    assert report.size == (width, 192)
    with open_video(path) as reader:
        frames = list(reader)
        assert reader.fps == pytest.approx(12.0)
    assert [frame.shape for frame in frames] == [(192, width, 3)] * 6


def test_points_are_drawn_where_they_are(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    one = replace(
        tracks, **{name: getattr(tracks, name)[7:8] for name in ("queries", "tracks", "visible", "confidence", "depth")}
    )
    render(project, SETTINGS, one, "points", tmp_path / "pngs")
    for frame, picture in enumerate(pictures(tmp_path / "pngs")):
        plain = cv2.resize(project.frame(frame), (288, 192), interpolation=cv2.INTER_CUBIC)
        changed = np.abs(picture.astype(int) - plain).max(-1) > 8
        rows, columns = np.nonzero(changed)
        expected = (one.tracks[0, frame] + 0.5) * 3 - 0.5  # frames are enlarged three times
        assert [columns.mean(), rows.mean()] == pytest.approx(expected, abs=0.5)


def test_frames_of_a_part_of_the_clip(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    part = replace(
        tracks,
        frames=tracks.frames[2:4],
        **{name: getattr(tracks, name)[:, 2:4] for name in ("tracks", "visible", "confidence", "depth")},
    )
    assert render(project, SETTINGS, part, "trails", tmp_path / "part").frames == 2
    whole, cut = tmp_path / "whole", tmp_path / "part"
    render(project, replace(SETTINGS, render=replace(SETTINGS.render, trail=1)), tracks, "trails", whole)
    np.testing.assert_array_equal(pictures(cut)[1], pictures(whole)[3])


def test_compare_shows_the_query_frame_beside_the_current_one(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    render(project, SETTINGS, tracks, "compare", tmp_path / "pngs")
    first, *_, last = pictures(tmp_path / "pngs")
    np.testing.assert_array_equal(first[:, :288], first[:, -288:])  # nothing has moved yet
    np.testing.assert_array_equal(first[:, :288], last[:, :288])
    assert (last[:, :288] != last[:, -288:]).any()


def test_removing_the_camera_changes_trails_only_where_it_moved(
    project: Project, tracks: Tracks, tmp_path: Path
) -> None:
    steady = replace(SETTINGS, render=replace(SETTINGS.render, remove_camera=True))
    render(project, SETTINGS, tracks, "trails", tmp_path / "plain")
    render(project, steady, tracks, "trails", tmp_path / "steady")
    for plain, still in zip(pictures(tmp_path / "plain"), pictures(tmp_path / "steady"), strict=True):
        assert np.abs(plain.astype(int) - still).max() < 40  # the scene's camera is static


def test_a_style_nobody_knows(project: Project, tracks: Tracks) -> None:
    with pytest.raises(OmnitrackError, match="no style 'arrows'") as caught:
        render(project, SETTINGS, tracks, "arrows", None)
    assert "points, trails" in str(caught.value.hint)


def test_tracks_of_another_video(project: Project, tracks: Tracks) -> None:
    with pytest.raises(OmnitrackError, match=r"of a video of 640x480.* is 96x64") as caught:
        render(project, SETTINGS, replace(tracks, size=(640, 480)), "points", None)
    assert "omnitrack query" in str(caught.value.hint)
    with pytest.raises(OmnitrackError, match=r"mention frames 0 to 9, .* has 6 frames"):
        render(project, SETTINGS, replace(tracks, frames=tracks.frames + 4), "points", None)
    with pytest.raises(OmnitrackError, match="from other frames"):
        render(project, SETTINGS, replace(tracks, meta={"frames": "0123456789abcdef"}), "points", None)
    render(project, SETTINGS, replace(tracks, meta={"frames": project.meta.fingerprint}), "points", None)
    none = {name: getattr(tracks, name)[:0] for name in ("queries", "tracks", "visible", "confidence", "depth")}
    with pytest.raises(OmnitrackError, match="no tracks to draw"):
        render(project, SETTINGS, replace(tracks, **none), "points", None)


def test_tracks_from_a_file_without_a_size_are_drawn(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    assert render(project, SETTINGS, replace(tracks, size=(0, 0), fps=0.0), "points", tmp_path / "a.mp4").frames == 6


def test_a_mesh_needs_a_grid(project: Project, tracks: Tracks) -> None:
    scattered = replace(tracks, queries=tracks.queries + np.random.default_rng(0).uniform(0, 3, (24, 1)) * [0, 1, 1])
    with pytest.raises(OmnitrackError, match="do not start on a grid") as caught:
        render(project, SETTINGS, scattered, "grid", None)
    assert "--grid" in str(caught.value.hint)


@pytest.mark.parametrize("style", ["points", "flow", "depth", "canonical", "rgb"])
def test_without_a_fit_the_next_command_is_named(project: Project, style: str) -> None:
    with pytest.raises(OmnitrackError) as caught:
        render(project, SETTINGS, None, style, None)
    assert f"omnitrack flow {project.root}" in f"{caught.value.hint}"  # without flow, filter and fit would fail


# --- labels, and the plain frame beside ---------------------------------------------------------------------------
def test_labels_give_colours_and_names(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    """Tracks 0 to 3 have two labels, the others none; a label of a single track is written beside it."""
    (tmp_path / "names.csv").write_text("track,label\n0,tree\n1,tree\n9,kite\n")
    settings = Settings(render=RenderSettings(min_side=640, legend=False))
    picture = labelled(project, settings, tracks, tmp_path, "a")
    for track, colour in ((0, LABEL_COLOURS[0]), (1, LABEL_COLOURS[0]), (9, LABEL_COLOURS[1]), (5, UNLABELLED)):
        x, y = np.rint((tracks.tracks[track, 0] + 0.5) * 10 - 0.5).astype(int)
        assert picture[y, x].tolist() == list(colour)
    x, y = np.rint((tracks.tracks[9, 0] + 0.5) * 10 - 0.5).astype(int)
    name = np.s_[y - 8 : y + 8, x + 16 : x + 48]
    assert (picture[name] == LABEL_COLOURS[1]).all(-1).sum() > 20  # letters
    explained = labelled(
        project, replace(settings, render=replace(settings.render, legend=True)), tracks, tmp_path, "b"
    )
    box = np.s_[-34:, :400]
    assert (explained[box] == LABEL_COLOURS[0]).all(-1).sum() > 20  # the label of two tracks
    assert not (explained[box] == LABEL_COLOURS[1]).all(-1).any()


def labelled(project: Project, settings: Settings, tracks: Tracks, folder: Path, name: str) -> NDArray[np.uint8]:
    """Return the first frame with the labels of names.csv."""
    inputs = RenderInputs(labels=str(folder / "names.csv"))
    render(project, settings, tracks, "points", folder / name, inputs=inputs)
    return pictures(folder / name)[0]


def test_labels_are_for_tracks(project: Project) -> None:
    with pytest.raises(
        UsageError, match=r"--labels a.csv is for --style points, .* or confidence, not for --style depth"
    ):
        render(project, SETTINGS, None, "depth", None, inputs=RenderInputs(labels="a.csv"))


def test_the_plain_frame_beside_the_drawing(project: Project, tracks: Tracks, tmp_path: Path) -> None:
    beside = replace(SETTINGS, render=replace(SETTINGS.render, side_by_side=True))
    assert render(project, beside, tracks, "points", tmp_path / "both").size == (582, 192)
    render(project, SETTINGS, tracks, "points", tmp_path / "one")
    for t, (both, one) in enumerate(zip(pictures(tmp_path / "both"), pictures(tmp_path / "one"), strict=True)):
        plain = cv2.resize(project.frame(t), (288, 192), interpolation=cv2.INTER_CUBIC)
        assert np.array_equal(both[:, :288], plain)
        assert np.array_equal(both[:, -288:], one)
