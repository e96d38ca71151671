"""Every example runs as its text describes, and its output is right."""

from __future__ import annotations

import csv
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from omnitrack.cli.app import execute
from omnitrack.correspondence.estimators import get_estimator
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import FlowSettings, InitSettings, Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scene import Layer, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane
from omnitrack.synthetic.texture import mottled, paint
from omnitrack.tracks.exporting import Footage
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.tracks import Tracks

EXAMPLES = Path(__file__).parents[1] / "examples"
VELOCITY = (1.5, -0.75)  # pixels per frame


def run_script(name: str, *arguments: object) -> None:
    """Run an example as ``python examples/NAME ARGUMENTS`` does, without the time to start an interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def functions_of(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def straight_tracks() -> Tracks:
    """Return two points of a video of 100 x 50 pixels and 10 frames/s that move by (3, 4) and (0, 1) per frame."""
    steps = np.arange(4)[:, None]
    points = np.stack([np.array([10, 20]) + steps * [3, 4], np.array([0, 0]) + steps * [0, 1]]).astype(np.float32)
    visible = np.array([[1, 1, 1, 1], [1, 1, 0, 1]], bool)
    queries = np.array([[5, 10, 20], [5, 0, 0]], np.float32)
    depth = np.ones((2, 4), np.float32)
    return Tracks(queries, points, visible, visible.astype(np.float32), depth, np.arange(5, 9), (100, 50), 10.0)


def test_every_example_is_tested_and_short() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in tested, path.name
        limit = 80 if path.name.startswith("custom_") else 60
        assert len(path.read_text(encoding="utf-8").splitlines()) < limit, path.name


def test_match_move_logo(tracked: Path) -> None:
    corners = ("30,20@0", "60,20@0", "60,40@0", "30,40@0")
    run_script("match_move_logo.py", tracked / "tracks.project", tracked / "shot", *corners, "--device", "cpu")
    nuke, ae, blender = ((tracked / f"shot{suffix}").read_text() for suffix in (".nk", ".jsx", ".py"))
    assert nuke.startswith("CornerPin2D") and "from1 {30.5000 23.5000}" in nuke  # bottom left, of a frame 64 high
    assert "to1 {{curve x0 30.5000 x1 " in nuke  # the images are named 0.png, 1.png ...
    assert 'add("bottom_right", [0,1,2,3,4,5], [60.5000,40.5000,' in ae
    assert 'add("top_left", [(1,0.3177083,0.6796875,0)' in blender


def install(script: str, name: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install an example as its text describes: the .dist-info contains what pip would write."""
    info = folder / "site" / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    said = (EXAMPLES / script).read_text(encoding="utf-8")
    assert '[project.entry-points."omnitrack.flow_estimators"]' in said
    value = said.partition(f'{name} = "')[2].partition('"')[0]
    (info / "entry_points.txt").write_text(f"[omnitrack.flow_estimators]\n{name} = {value}\n")
    patch.syspath_prepend(str(folder / "site"))
    patch.syspath_prepend(str(EXAMPLES))


def flow_by(name: str, velocity: tuple[float, float], num_frames: int, folder: Path) -> FlowStore:
    """Compute the flow of every pair of a scene that moves evenly, with an installed estimator."""
    settings = Settings(init=InitSettings(max_size=0), flow=FlowSettings(estimator=name, pairs="exhaustive"))
    scene = translating_scene(velocity, num_frames=num_frames)
    init_from_frames(iter(scene.frames()), folder / "project", settings, 10.0, "scene")
    compute_flow(Project(folder / "project"), settings)
    return FlowStore(Project(folder / "project"))


def test_custom_estimator_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install("custom_flow_estimator.py", "farneback", tmp_path, monkeypatch)
    assert type(get_estimator("farneback", FlowSettings())).__name__ == "FarnebackEstimator"
    with flow_by("farneback", VELOCITY, 2, tmp_path) as store:
        inner = store.flow(0, 1)[16:-16, 16:-16]
        assert store.confidence(0, 1) is None
    assert np.abs(inner - VELOCITY).mean() < 0.2


def test_custom_clip_estimator_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole pixels are found exactly, over any gap and both ways, and the confidence is stored with them."""
    install("custom_clip_estimator.py", "phase", tmp_path, monkeypatch)
    assert type(get_estimator("phase", FlowSettings())).__name__ == "PhaseEstimator"
    with flow_by("phase", (2.0, -1.0), 4, tmp_path) as store:
        for source, target in ((0, 1), (1, 3), (3, 0)):
            moved = (target - source) * np.array([2.0, -1.0])
            inner = store.flow(source, target)[16:-16, 16:-16]
            assert np.median(np.abs(inner - moved).max(-1)) == 0
            assert np.abs(inner - moved).mean() < 0.1
            sure = store.confidence(source, target)
            assert sure is not None and sure.shape == (64, 96) and np.median(sure[16:-16, 16:-16]) > 0.8


def test_custom_clip_estimator_as_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    run_script("custom_clip_estimator.py")
    assert capsys.readouterr().out.splitlines() == ["motion (2.0, -1.0) px", "motion (4.0, -2.0) px"]


def test_custom_estimator_as_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    run_script("custom_flow_estimator.py")
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["dis", "farneback"]


def test_speed_of_known_tracks() -> None:
    """5 px and 1 px per frame at 10 frames/s, the second point occluded in the third frame; 0.5 um per pixel."""
    speeds = functions_of("cell_speed.py")["speeds"]
    first, _, _, last = speeds(straight_tracks(), 0.5)
    # the median of (3, 4) and (0, 1) is (1.5, 2.5) px per frame; the last step has only the first point in both frames
    assert first == pytest.approx(np.hypot(1.5, 2.5) * 5) and last == pytest.approx(25)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which track_points.py has turned a folder of images into tracks.npz and its project."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "clip").mkdir()
    for index, frame in enumerate(translating_scene(VELOCITY).frames()):
        assert cv2.imwrite(str(folder / "clip" / f"{index}.png"), frame[..., ::-1])
    query = ("40,30@0", "50.5,40@2")
    small = ("--set", "fit.steps=5", "--set", "fit.anchors=64", "--device", "cpu")
    run_script("track_points.py", folder / "clip", folder / "tracks.npz", *query, *small)
    return folder


def test_track_points(tracked: Path) -> None:
    tracks = load_tracks(tracked / "tracks.npz")
    np.testing.assert_array_equal(tracks.queries, np.float32([[0, 40, 30], [2, 50.5, 40]]))
    time = np.arange(6)[:, None]
    truth = [np.array([40, 30]) + time * VELOCITY, np.array([50.5, 40]) + (time - 2) * VELOCITY]
    assert np.abs(tracks.tracks - truth).max() < 1.5
    assert tracks.visible.all()


def write_stack(path: Path, frames: np.ndarray, seconds: float) -> tuple[object, ...]:
    """Write a stack as ImageJ does, with its frame interval; without tifffile a plain one. Return further arguments."""
    try:
        import tifffile
    except ImportError:
        assert cv2.imwritemulti(str(path), list(frames))
        return ("--fps", 1 / seconds)
    tifffile.imwrite(path, frames, imagej=True, metadata={"axes": "TYX", "finterval": seconds})
    return ()


def test_cell_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A textured disc at 0.325 um per pixel that moves by (2.5, -1) px every 2 s over a static background."""
    frames = cell_frames((2.5, -1.0), 8)
    rate = write_stack(tmp_path / "stack.tif", frames, 2.0)
    mask = np.zeros(frames.shape[1:], np.uint8)
    cv2.circle(mask, (50, 60), 11, 255, -1)
    assert cv2.imwrite(str(tmp_path / "cell.png"), mask)
    arguments = (f"{tmp_path / 'cell.png'}@0", tmp_path / "cell", "--um-per-px", 0.325, "--steps", 50, *rate)
    run_script("cell_speed.py", tmp_path / "stack.tif", *arguments)
    truth = np.hypot(2.5, 1.0) * 0.325 / 2
    assert float(capsys.readouterr().out.split()[-2]) == pytest.approx(truth, rel=0.01)
    with (tmp_path / "cell.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["seconds"]) for row in rows[:3]] == [0, 2, 4]
    for row in rows:
        assert float(row["um_per_s"]) == pytest.approx(truth, rel=0.02)
    assert float(rows[4]["x_um"]) - float(rows[0]["x_um"]) == pytest.approx(4 * 2.5 * 0.325, rel=0.01)
    assert (tmp_path / "cell-napari.csv").read_text().startswith("track_id,t,y,x")
    assert '<Model spatialunits="um" timeunits="sec">' in (tmp_path / "cell.xml").read_text()


def cell_frames(velocity: tuple[float, float], count: int) -> np.ndarray:
    """Return (T, 128, 192) uint8: a bright mottled disc of 14 pixels' radius at (50, 60) in the first frame."""
    black = np.array([0.5, 0.5, 0.5])
    background = paint(-96, -64, 288, 192, mottled((0.3, 0.3, 0.3), 0.1, np.random.default_rng(1)))
    texture = paint(-14, -14, 14, 14, mottled(tuple(black), 0.4, np.random.default_rng(2)))
    cell = Layer("cell", Ellipse(14, 14), texture, lambda t: Similarity(50 + velocity[0] * t, 60 + velocity[1] * t))
    scene = SyntheticScene((192, 128), count, [cell, Layer("ground", Plane(), background)])
    return scene.frames()[..., 1]


def test_score_your_tracker(tmp_path: Path) -> None:
    """Lucas-Kanade on a scene that moves evenly, scored by `omnitrack eval` on an exported dataset."""
    scene = translating_scene(VELOCITY, num_frames=6)
    images = []
    for index, frame in enumerate(scene.frames()):
        images.append(tmp_path / f"{index}.png")
        assert cv2.imwrite(str(images[-1]), frame[..., ::-1])
    queries = np.float32([[0, 40, 30], [2, 50.5, 40], [1, 30, 25]])
    points, visible = scene.tracks(queries)
    ones = np.ones(visible.shape, np.float32)
    footage = Footage(np.arange(6), None, scene.size, 10.0, tuple(images))
    truth = Tracks(queries, points, visible, ones, ones, np.arange(6), scene.size, 10.0)
    truth.save(tmp_path / "truth.pkl", footage=footage)
    run_script("score_your_tracker.py", tmp_path / "truth.pkl", tmp_path / "saved")
    evaluation = ("--query-mode", "first", "--predictions", f"lk={tmp_path / 'saved'}")
    assert execute(["eval", str(tmp_path / "truth.pkl"), *evaluation, "-o", str(tmp_path / "scores.json")]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["methods"]["lk"]["mean"]
    assert scores["average_jaccard"] > 0.95


# --- Slurm ------------------------------------------------------------------------------------------------------
@pytest.mark.skipif(sys.platform == "win32", reason="Slurm runs shell scripts")
def test_a_job_array_takes_one_line_of_the_list_a_task(tmp_path: Path) -> None:
    stub = tmp_path / "omnitrack"
    stub.write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    stub.chmod(0o755)
    (tmp_path / "videos.txt").write_text("a.mp4\nb c.mp4\n")
    told = {}
    for line in ("1", "2", "3"):
        variables = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": line}
        words = ["bash", str(EXAMPLES / "slurm_array.sh"), str(tmp_path / "videos.txt"), "work"]
        told[line] = subprocess.run(words, env=variables, capture_output=True, text=True, check=False)
    assert [told[line].stdout for line in "123"] == ["run|a.mp4|work/1|", "run|b c.mp4|work/2|", ""]
    assert told["3"].returncode == 2
    assert "has no line 3" in told["3"].stderr
