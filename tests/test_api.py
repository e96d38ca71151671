"""The Python API: `omnitrack.init`, `omnitrack.open`, and a method per stage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import omnitrack
from omnitrack.api import OpenProject
from omnitrack.errors import OmnitrackError
from omnitrack.motion.field import FieldTracks
from omnitrack.project.project import Project
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.stages.render_styles import STYLES
from omnitrack.tracks.tracks import Tracks


def test_from_a_video_to_flow(video_file: Path, tmp_path: Path) -> None:
    clip = omnitrack.init(video_file, tmp_path / "clip", {"init.end": 4, "flow.pairs": "window:1"})
    assert clip.project.num_frames == 4
    assert clip.flow().pairs == 6  # 3 pairs of adjacent frames, both ways
    assert clip.info().state("flow") == "ready"
    assert clip.info().state("fit") == "missing"
    assert omnitrack.open(tmp_path / "clip", {"flow.pairs": "window:1"}).flow().computed == 0


def test_settings_come_from_the_file_and_win_over_it(project: Project) -> None:
    project.settings_path.write_text("[fit]\nsteps = 7\nanchors = 8\n", encoding="utf-8")
    opened = omnitrack.open(project.root, {"fit.steps": 9})
    assert (opened.settings.fit.steps, opened.settings.fit.anchors) == (9, 8)
    with pytest.raises(OmnitrackError, match=r"unknown setting fit\.stpes"):
        omnitrack.open(project.root, {"fit.stpes": 9})


def test_what_is_not_a_project_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="not an omnitrack project"):
        omnitrack.open(tmp_path)


def test_queries_are_rows_of_three(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("omnitrack.stages.query.query_tracks", lambda *arguments: asked.append(arguments))
    opened = omnitrack.open(project.root, device="cpu")
    opened.query([(0, 1.5, 2), (3, 4, 5)], frames=range(2))
    _, rows, _, frames, device, _, pins = asked[0]
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1.5, 2], [3, 4, 5]]
    assert (frames, device, pins) == (range(2), "cpu", None)
    for wrong in ([(1, 2)], [1, 2, 3], []):
        with pytest.raises(OmnitrackError, match=r"not \(N, 3\)"):
            opened.query(wrong)


def test_every_stage_gets_the_device_and_the_seed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: dict[str, Any] = {}
    for stage in ("filter.filter_flow", "fit.fit_field", "render.render"):
        monkeypatch.setattr(f"omnitrack.stages.{stage}", lambda *words, stage=stage: calls.update({stage: words[1:]}))
    opened = omnitrack.open(project.root, device="cuda:1", seed=5)
    opened.filter(), opened.fit(resume=True), opened.render("points", output="a.gif")
    assert calls["filter.filter_flow"][0] is opened.settings
    assert calls["fit.fit_field"][1:4] == ("cuda:1", 5, True)
    assert calls["render.render"][0] is opened.settings
    assert calls["render.render"][1:5] == (None, "points", Path("a.gif"), "cuda:1")
    assert calls["render.render"][6] == RenderInputs()


class StillField:
    """A field in which nothing moves and everything is visible."""

    def track(self, source: int, pixels: NDArray[np.floating], targets: list[int]) -> FieldTracks:
        shape = (len(pixels), len(targets))
        places = np.broadcast_to(pixels[:, None], (*shape, 2))
        return FieldTracks(places.astype(np.float32), np.zeros(shape, np.float32), np.ones(shape, bool))


def test_a_drawing_is_laid_over_every_frame(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("omnitrack.stages.fit.load_field", lambda project, device: StillField())
    image = np.zeros((48, 64, 4), np.uint8)
    image[16:32, 8:24] = (0, 0, 255, 255)  # red: OpenCV writes blue first
    cv2.imwrite(str(tmp_path / "ink.png"), image)
    opened = omnitrack.open(project.root, {"render.min_side": 0})
    report = opened.render("edit", output=str(tmp_path / "out"), edit=str(tmp_path / "ink.png"), frame=3)
    assert (report.style, report.frames, report.size, report.points) == ("edit", 8, (64, 48), 0)
    for t, path in enumerate(sorted((tmp_path / "out").iterdir())):
        expected = project.frame(t).copy()
        expected[16:32, 8:24] = (255, 0, 0)
        shown = cv2.imread(str(path))[..., ::-1]
        np.testing.assert_array_equal(shown, expected)
    assert opened.settings.render.frame == 0
    with pytest.raises(OmnitrackError, match="there is no frame 8"):
        opened.render("edit", edit=tmp_path / "ink.png", frame=8)


def test_the_styles_are_all_described() -> None:
    text = OpenProject.render.__doc__ or ""
    described = text.partition("style:")[2].partition("tracks: What")[0]
    assert [style for style in STYLES if not re.search(rf"\b{style}\b", described)] == []


def test_plots(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    opened = omnitrack.open(project.root)
    rows = np.zeros((1, 2), np.float32)
    points = np.array([[[1, 1], [4, 5]]], np.float32)
    tracks = Tracks(np.zeros((1, 3), np.float32), points, rows == 0, rows, rows, np.arange(2), (96, 64), 2.0)
    report = opened.plot("speed", tracks, scale=0.5)
    assert report.output == str(project.plots_dir / "speed.png") and Path(report.output).is_file()
    assert opened.plot("confidence", tracks, tmp_path / "a.pdf").output == str(tmp_path / "a.pdf")
    with pytest.raises(OmnitrackError, match="there is no plot 'sped'") as caught:
        opened.plot("sped", tracks)
    assert caught.value.hint == "known: tracks, speed, confidence, losses"
