"""Every example runs as its text says, and what it writes is right."""

from __future__ import annotations

import csv
import runpy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from omnitrack.correspondence.estimators import get_estimator
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import FlowSettings, InitSettings, Settings
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import translating_scene
from omnitrack.tracks.files import load_tracks, save_tracks
from omnitrack.tracks.tracks import Tracks

EXAMPLES = Path(__file__).parents[1] / "examples"
VELOCITY = (1.5, -0.75)  # pixels per frame


def run_script(name: str, *arguments: object) -> None:
    """Run an example as ``python examples/NAME ARGUMENTS`` does, without the seconds of a new interpreter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def functions_of(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name))


def straight_tracks() -> Tracks:
    """Two points of a video of 100 x 50 pixels and 10 frames/s that move by (3, 4) and (0, 1) from frame to frame."""
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
        assert len(path.read_text(encoding="utf-8").splitlines()) < 80, path.name


def test_nuke(tmp_path: Path) -> None:
    save_tracks(straight_tracks(), tmp_path / "tracks.npz")
    run_script("tracks_to_csv_for_vfx.py", tmp_path / "tracks.npz", tmp_path / "out", "--first-frame", 1001)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["track_0000.txt", "track_0001.txt"]
    # 20 pixels below the centre of the top row of 50: 29.5 above the bottom edge
    assert (tmp_path / "out" / "track_0000.txt").read_text() == (
        "1006 10.5000 29.5000\n1007 13.5000 25.5000\n1008 16.5000 21.5000\n1009 19.5000 17.5000\n"
    )
    hidden_left_out = "1006 0.5000 49.5000\n1007 0.5000 48.5000\n1009 0.5000 46.5000\n"
    assert (tmp_path / "out" / "track_0001.txt").read_text() == hidden_left_out


def test_after_effects(tmp_path: Path) -> None:
    save_tracks(straight_tracks(), tmp_path / "tracks.npz")
    run_script("tracks_to_csv_for_vfx.py", tmp_path / "tracks.npz", tmp_path / "out", "--format", "ae", "--hidden")
    lines = (tmp_path / "out" / "track_0001.txt").read_text().split("\n")
    assert lines[0] == "Adobe After Effects 8.0 Keyframe Data" and lines[-2] == "End of Keyframe Data"
    assert {"\tUnits Per Second\t10", "\tSource Width\t100", "\tSource Height\t50"} < set(lines)
    start = lines.index("Transform\tPosition") + 2
    assert lines[start : start + 5] == [*(f"\t{5 + t}\t0.5000\t{t + 0.5:.4f}\t0\t" for t in range(4)), ""]


def test_vfx_needs_the_height(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tracks(straight_tracks(), tmp_path / "tracks.csv")
    with pytest.raises(SystemExit):
        run_script("tracks_to_csv_for_vfx.py", tmp_path / "tracks.csv", tmp_path / "out")
    assert "does not say how large the frame is" in capsys.readouterr().err


def install(script: str, name: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install an example as its text says: what pip would write is in the .dist-info."""
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
    """The flow that an installed estimator computes of every pair of a scene that moves evenly."""
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
    """Whole pixels are found exactly, over any gap and both ways, and the confidence is kept beside them."""
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
    example = functions_of("measure_speed.py")
    # 5 px and 1 px per frame at 10 frames/s; the second point is hidden in the third frame
    np.testing.assert_allclose(example["speeds"](straight_tracks()), [[50, 50, 50], [10, np.nan, np.nan]])
    assert example["summary"](straight_tracks()) == [
        [5, "0.5500", 2, "30.0000", "20.0000", "40.0000"],
        [6, "0.6500", 1, "50.0000", "50.0000", "50.0000"],
        [7, "0.7500", 1, "50.0000", "50.0000", "50.0000"],
    ]
    nothing = Tracks(**{**vars(straight_tracks()), "visible": np.zeros((2, 4), bool)})
    assert example["summary"](nothing)[0] == [5, "0.5500", 0, "", "", ""]


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


def test_measure_speed(tracked: Path) -> None:
    mask = np.zeros((64, 96), np.uint8)
    mask[20:44, 30:60] = 255
    assert cv2.imwrite(str(tracked / "mask.png"), mask)
    arguments = (tracked / "tracks.project", f"{tracked / 'mask.png'}@1", tracked / "speed.csv")
    run_script("measure_speed.py", *arguments, "--spacing", 8, "--device", "cpu")
    with (tracked / "speed.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2", "3", "4"]
    expected = np.hypot(*VELOCITY) * Project(tracked / "tracks.project").meta.fps
    medians = [float(row["median_px_per_second"]) for row in rows]
    assert np.median(medians) == pytest.approx(expected, rel=0.2)
