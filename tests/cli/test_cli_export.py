"""`omnitrack export`: which tracks, which format, which frame numbers, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from omnitrack.project.frames_meta import read_meta, write_meta
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.tracks import Tracks

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tracked(project: Path) -> Path:
    """The project with two tracks over its frames 2 to 4; the second one is occluded in frame 3."""
    points = np.array([[[10, 20], [11, 20], [12, 20]], [[0, 0], [0, 0], [0, 0]]], np.float32)
    seen = np.array([[1, 1, 1], [1, 0, 1]], bool)
    queries = np.array([[2, 10, 20], [2, 0, 0]], np.float32)
    confidence = np.array([[0.9, 0.6, 0.3], [0.9, 0.9, 0.9]], np.float32)
    Tracks(queries, points, seen, confidence, confidence, np.arange(2, 5), (128, 96), 25.0).save(
        project / "tracks" / "tracks.npz"
    )
    return project


def with_frames(project: Path, **facts: object) -> None:
    folder = project / "frames"
    write_meta(folder, replace(read_meta(folder / "frames.json"), **facts))  # type: ignore[arg-type]


def napari_rows(cli: Cli, project: Path, *more: str) -> list[list[str]]:
    status, out, err = cli("export", str(project), "--as", "napari", "-o", "-", *more)
    assert (status, err) == (0, "")
    return [line.split(",") for line in out.splitlines()[1:]]


def test_the_suffix_says_the_format(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    path = tmp_path / "out" / "tracks.nk"
    status, out, err = cli("export", str(tracked), "-o", str(path), "--json")
    assert (status, err) == (0, "")
    report = json.loads(out)
    assert (report["format"], report["tracks"], report["frames"]) == ("nuke", 2, 3)
    # frame 2 of a video is Nuke's third; the frame is 96 px high
    assert "{curve x3 10.5000 x4 11.5000 x5 12.5000} {curve x3 75.5000 " in path.read_text()


def test_labels_name_the_tracks(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    image = np.zeros((96, 128), np.uint8)
    image[15:25, 5:15] = 7
    cv2.imwrite(str(tmp_path / "cells.png"), image)
    (tmp_path / "names.csv").write_text("track,label\n0,cell\n1,cell\n")
    for labels, names in (("cells.png@2", ["7", "track 1"]), ("names.csv", ["cell 0", "cell 1"])):
        path = tmp_path / "tracks.nk"
        assert cli("export", str(tracked), "--labels", str(tmp_path / labels), "-o", str(path))[0] == 0
        assert [f'"{name}"' in path.read_text() for name in names] == [True, True]
    status, _, err = cli(
        "export", str(tracked), "--labels", str(tmp_path / "names.csv"), "--names", "a,b", "-o", "a.nk"
    )
    assert status == 2 and "--names and --labels both name the tracks" in err


def test_frames_are_numbered_as_in_the_footage(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    """The project has every second frame from the tenth on: tracks are exported with the video's own frame numbers."""
    with_frames(tracked, indices=list(range(10, 34, 2)))
    assert [row[1] for row in napari_rows(cli, tracked)[:3]] == ["14", "16", "18"]
    assert [row[1] for row in napari_rows(cli, tracked, "--first-frame", "100")[:3]] == ["104", "106", "108"]


def test_numbers_of_a_series_are_kept_where_the_program_has_them(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    with_frames(tracked, numbers=list(range(1001, 1013)))
    path = tmp_path / "a.nk"
    assert cli("export", str(tracked), "-o", str(path))[0] == 0
    assert "{curve x1003 10.5000 x1004 11.5000" in path.read_text()
    assert cli("export", str(tracked), "-o", str(path), "--first-frame", "1")[0] == 0
    assert "{curve x3 10.5000 x4 11.5000" in path.read_text()
    assert napari_rows(cli, tracked)[0][1] == "2"  # napari counts images


def test_seconds_are_those_of_the_whole_video(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    """Every second frame at 12.5 per second comes from a video at 25."""
    with_frames(tracked, indices=list(range(0, 24, 2)), fps=12.5)
    path = tmp_path / "a.jsx"
    assert cli("export", str(tracked), "-o", str(path))[0] == 0
    assert "fps = 25;" in path.read_text() and 'add("track_0000", [4,6,8]' in path.read_text()


def test_hidden_and_unsure_points(cli: Cli, tracked: Path) -> None:
    assert len(napari_rows(cli, tracked)) == 6
    assert len(napari_rows(cli, tracked, "--hidden", "drop")) == 5
    assert len(napari_rows(cli, tracked, "--hidden", "drop", "--min-confidence", "0.5")) == 4


def test_names_from_a_list_and_from_a_file(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("nose\nleft, ear\n")
    for names, expected in (("nose,ear", '"nose"'), (str(tmp_path / "names.txt"), '"left, ear"')):
        assert cli("export", str(tracked), "-o", str(tmp_path / "a.jsx"), "--names", names)[0] == 0
        assert expected in (tmp_path / "a.jsx").read_text()


def test_own_formats(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    assert cli("export", str(tracked), "-o", str(tmp_path / "a.json"))[0] == 0
    assert load_tracks(tmp_path / "a.json").frames.tolist() == [2, 3, 4]
    status, _, err = cli("export", str(tracked), "-o", str(tmp_path / "a.json"), "--first-frame", "3")
    assert status == 1 and "json keeps tracks as they are" in err and "--as napari" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message", "hint"),
    [
        ([], 2, "say what to write", "-o tracks.nk"),
        (["-o", "tracks.xyz"], 1, "does not say the format", "--as"),
        (["--as", "nukee"], 1, "there is no export format 'nukee'", "did you mean nuke?"),
        (["--as", "nuke", "--unit", "um", "--scale", "2"], 1, "nuke is in pixels", "leave out --scale and --unit"),
        (["--as", "napari", "--unit", "um"], 1, "1 um per pixel is not a scale", "--scale 0.325 --unit um"),
        (["--as", "napari", "--names", "a"], 1, "1 names, 1 of them different, for 2 tracks", "--names left,right"),
        (["--as", "napari", "--names", "a,a"], 1, "2 names, 1 of them different", "--names left,right"),
        (["--as", "colmap", "--hidden", "mark"], 1, "colmap cannot mark hidden points", "--hidden drop or hold"),
        (["--as", "napari", "--tracks", "none.npz"], 1, "there are no tracks at none.npz", "omnitrack query"),
    ],
)
def test_what_is_refused(cli: Cli, tracked: Path, arguments: list[str], status: int, message: str, hint: str) -> None:
    found, out, err = cli("export", str(tracked), *arguments)
    assert (found, out) == (status, "")
    assert message in " ".join(err.split()) and hint in " ".join(err.split())


def test_without_tracks_the_hint_is_the_first_missing_step(cli: Cli, project: Path) -> None:
    said = f"error: project {project} has no tracks yet\n\nhint: "
    for name, step in ((None, "first comes its flow: omnitrack flow"), ("flow", "next: omnitrack filter")):
        if name is not None:
            (project / "products").mkdir()
            (project / "products" / f"{name}.h5").touch()
        assert cli("export", str(project), "--as", "nuke")[2] == f"{said}{step} {project}\n"
    (project / "checkpoints").mkdir()
    (project / "checkpoints" / "step_000001.pt").touch()
    assert cli("plot", str(project))[2] == f"{said}make some: omnitrack query {project} --grid 20@0\n"


def test_tracks_of_another_video(cli: Cli, tracked: Path, tmp_path: Path) -> None:
    other = replace(load_tracks(tracked / "tracks" / "tracks.npz"), size=(64, 64))
    other.save(tmp_path / "other.npz")
    status, _, err = cli("export", str(tracked), "--tracks", str(tmp_path / "other.npz"), "--as", "nuke")
    assert status == 1 and "cannot be of the video of project" in err
    beyond = replace(load_tracks(tracked / "tracks" / "tracks.npz"), frames=np.array([2, 3, 12]))
    beyond.save(tmp_path / "beyond.npz")
    status, _, err = cli("export", str(tracked), "--tracks", str(tmp_path / "beyond.npz"), "--as", "nuke")
    assert status == 1 and "the tracks mention frame 12, the project has 12" in err
