"""`omnitrack run`: each stage runs once, finished products are kept, another video is refused. The fit is a stub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from leavings import PLAIN_FLOW, leave_fit

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.render import RenderReport
from omnitrack.stages.run import RunReport, run_all
from omnitrack.tracks.tracks import Tracks

QUICK = {**PLAIN_FLOW, "flow.pairs": "window:1", "flow.dis.side": 0, "filter.gaps": [1], "filter.found_again": False}
SETTINGS = load_settings(overrides={**QUICK, "filter.grid_points": 64})


class Calls(list[Any]):
    """The calls of the replaced stages; `reach` is the step at which the fit stops."""

    reach = 10**9


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    made = Calls()

    def fit_field(
        project: Project, settings: Settings, device: str, seed: int, resume: bool, progress: Progress, pins: object
    ) -> SimpleNamespace:
        made.append(("fit", resume))
        leave_fit(project, settings, seed, 1.0, min(made.reach, settings.fit.steps))
        return SimpleNamespace(seconds=1.0)

    def query_tracks(project: Project, queries: np.ndarray, *_: object, **__: object) -> Tracks:
        made.append(("query", len(queries)))
        n, t = len(queries), project.num_frames
        zeros = np.zeros((n, t), np.float32)
        return Tracks(queries, np.zeros((n, t, 2), np.float32), zeros > -1, zeros, zeros, np.arange(t), (64, 48), 12.0)

    def render(project: Project, settings: Settings, tracks: Tracks, style: str, output: Path, *_: Any) -> RenderReport:
        made.append(("render", style))
        return RenderReport(style, str(output), project.num_frames, (64, 48), len(tracks), 0.0)

    monkeypatch.setattr("omnitrack.stages.fit.fit_field", fit_field)
    monkeypatch.setattr("omnitrack.stages.query.query_tracks", query_tracks)
    monkeypatch.setattr("omnitrack.stages.run.render", render)
    return made


def run(video: Path, root: Path, settings: Settings = SETTINGS, **more: Any) -> RunReport:
    return run_all(video, root, settings, grid="4@0", style="points", output=Path("out.mp4"), **more)


def test_everything_once_and_nothing_twice(video_file: Path, tmp_path: Path, calls: Calls) -> None:
    root = tmp_path / "work"
    first = run(video_file, root)
    assert (first.frames, first.points, first.kept, first.output) == (8, 12, [], "out.mp4")
    assert Path(first.tracks) == root / "tracks" / "tracks.npz"
    assert Path(first.tracks).is_file()
    assert calls == [("fit", False), ("query", 12), ("render", "points")]
    calls.clear()
    assert run(video_file, root).kept == ["init", "flow", "filter", "fit"]
    assert calls == [("query", 12), ("render", "points")]


def test_memory_is_given_back_after_each_product(
    video_file: Path, tmp_path: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omnitrack.stages.bring_up.give_back", lambda: calls.append("given back"))
    run(video_file, tmp_path / "work")
    assert calls[-4:] == [("fit", False), "given back", ("query", 12), ("render", "points")]
    assert calls.count("given back") > 3  # after the flow, what judges it, the filter and the fit
    calls.clear()
    run(video_file, tmp_path / "work")
    assert "given back" not in calls


def test_a_stopped_fit_is_resumed_and_another_one_is_made_anew(video_file: Path, tmp_path: Path, calls: Calls) -> None:
    calls.reach = 5
    run(video_file, tmp_path / "work")
    calls.reach = 10**9
    assert run(video_file, tmp_path / "work").kept == ["init", "flow", "filter"]
    run(video_file, tmp_path / "work", seed=1)
    assert [call for call in calls if call[0] == "fit"] == [("fit", False), ("fit", True), ("fit", False)]


def test_other_settings_redo_what_depends_on_them(video_file: Path, tmp_path: Path, calls: Calls) -> None:
    run(video_file, tmp_path / "work")
    changed = replace(SETTINGS, filter=replace(SETTINGS.filter, cycle_threshold_px=3.0))
    assert run(video_file, tmp_path / "work", changed).kept == ["init", "flow"]


def test_the_file_keeps_what_says_which_frames_and_leaves_the_rest_open(
    video_file: Path, tmp_path: Path, calls: Calls
) -> None:
    settings = load_settings(overrides={"init.stride": 2, "fit.steps": 9, **QUICK})
    run(video_file, tmp_path / "work", settings)
    kept = load_settings(tmp_path / "work" / "omnitrack.toml")
    assert kept == replace(Settings(), init=settings.init)


def test_another_video_or_other_frames_are_refused(video_file: Path, tmp_path: Path, calls: Calls) -> None:
    run(video_file, tmp_path / "work")
    with pytest.raises(OmnitrackError, match="is the project of another video"):
        run(tmp_path / "other.mp4", tmp_path / "work")
    with pytest.raises(OmnitrackError, match="holds other frames"):
        run(video_file, tmp_path / "work", replace(SETTINGS, init=replace(SETTINGS.init, start=2)))


@pytest.mark.parametrize(
    ("fit", "message", "hint"),
    [
        ({}, "a field of method cadex has none", "--method omnimotion"),
        (
            {"fit.method": "plain_2d"},
            "a field of method plain_2d has none",
            "--method omnimotion",
        ),
    ],
    ids=["cadex", "plain_2d"],
)
def test_colours_that_no_fit_will_have_are_refused_before_anything_is_made(
    video_file: Path, tmp_path: Path, calls: Calls, fit: dict[str, object], message: str, hint: str
) -> None:
    with pytest.raises(OmnitrackError) as caught:
        run_all(video_file, tmp_path / "work", load_settings(overrides=fit), style="rgb")
    assert message in caught.value.message
    assert hint in str(caught.value.hint)
    assert calls == []
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("mapping", ["invertible", "two_networks"])
def test_colours_of_a_canonical_volume_are_drawn(video_file: Path, tmp_path: Path, calls: Calls, mapping: str) -> None:
    fit = load_settings(overrides={"fit.method": "omnimotion", "fit.omnimotion.mapping": mapping}).fit
    run_all(video_file, tmp_path / "work", replace(SETTINGS, fit=fit), style="rgb")
    assert calls[-1] == ("render", "rgb")


def test_a_wrong_grid_is_found_before_the_long_work(video_file: Path, tmp_path: Path, calls: Calls) -> None:
    with pytest.raises(OmnitrackError, match="--grid"):
        run_all(video_file, tmp_path / "work", SETTINGS, grid="4@99")
    assert calls == []
    assert not Project(tmp_path / "work").products_dir.exists()
