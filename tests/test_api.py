"""The Python API: `omnitrack.init`, `omnitrack.open`, and a method per stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import omnitrack
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project


def test_from_a_video_to_flow(video_file: Path, tmp_path: Path) -> None:
    clip = omnitrack.init(video_file, tmp_path / "clip", {"init.end": 4, "flow.pairs": "window:1"})
    assert clip.project.num_frames == 4
    assert clip.flow().pairs == 6  # 3 neighbouring pairs of frames, both ways
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
    _, rows, _, frames, device, _ = asked[0]
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1.5, 2], [3, 4, 5]]
    assert (frames, device) == (range(2), "cpu")
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
    assert calls["render.render"][1:5] == (None, "points", Path("a.gif"), "cuda:1")
