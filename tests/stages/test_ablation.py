"""Rows of one table with different settings share a project, and no row gets another row's fit, score or seconds."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from leavings import PLAIN_FLOW, leave_filtered, leave_fit
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.ablations import ABLATIONS
from omnitrack.evaluation.tapvid import TapvidVideo
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages import evaluate_video
from omnitrack.stages.evaluate import EvalReport, evaluate
from omnitrack.tracks.tracks import Tracks

SIZE, SHIFT = np.array([64, 48]), np.array([2, 1])  # of the fixture `clip`
WHOLE, SHORT, AFFINE = "cadex/field-alone", "cadex/no-long-range", "cadex/affine-couplings"


@pytest.fixture
def video(clip: NDArray[np.uint8]) -> TapvidVideo:
    starts = np.array([[10, 12], [30, 20], [45, 30], [20, 35]])
    pixels = starts[:, None] + SHIFT * np.arange(8)[:, None]
    return TapvidVideo("pan", clip, ((pixels + 0.5) / SIZE).astype(np.float32), np.zeros((4, 8), bool))


def run(video: TapvidVideo, rows: list[str], settings: Settings | None = None, **options: Any) -> EvalReport:
    plain = load_settings(overrides=PLAIN_FLOW)
    return evaluate([video], rows, settings or plain, **{"resolution": None, "device": "cpu"} | options)


class Fits:
    """Replaces fitting: leaves checkpoints, takes 1, 2, 3, ... seconds, and can be killed half-way."""

    def __init__(self) -> None:
        self.settings: list[Settings] = []
        self.resumed: list[bool] = []
        self.killed = False

    def __call__(
        self, project: Project, settings: Settings, device: str, seed: int, resume: bool, progress: object, pins: object
    ) -> SimpleNamespace:
        self.settings.append(settings)
        self.resumed.append(resume)
        step = settings.fit.steps // 2 if self.killed else settings.fit.steps
        leave_fit(project, settings, seed, float(len(self.settings)), step)
        if self.killed:
            self.killed = False
            raise KeyboardInterrupt
        return SimpleNamespace(seconds=float(len(self.settings)))

    @property
    def couplings(self) -> list[str]:
        return [settings.fit.cadex.coupling for settings in self.settings]


@pytest.fixture
def asked() -> list[Settings]:
    """The settings of each query."""
    return []


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch, asked: list[Settings]) -> Fits:
    """Replaces fitting; tracks of the field alone move right, fused ones stand still."""

    def oracle(project: Project, queries: NDArray, settings: Settings, **_: Any) -> Tracks:
        asked.append(settings)
        times = np.arange(project.num_frames)
        motion = (times - queries[:, :1])[..., None] * (0 if settings.query.fuse else SHIFT)
        ones = np.ones(motion.shape[:2], np.float32)
        tracks = queries[:, None, 1:] + motion
        return Tracks(queries, tracks, ones > 0, ones, ones, times, project.size, project.meta.fps)

    fits = Fits()

    def chain_from_everywhere(project: Project, settings: Settings, progress: object) -> float:
        leave_filtered(project, settings, 0.5)
        return 0.5

    monkeypatch.setattr("omnitrack.stages.fit.fit_field", fits)
    monkeypatch.setattr("omnitrack.stages.filter.chain_from_everywhere", chain_from_everywhere)
    monkeypatch.setattr(evaluate_video, "query_tracks", oracle)
    return fits


def seconds_of_fits(report: EvalReport) -> dict[str, float]:
    return {name: method["videos"]["pan"]["seconds"]["fit"] for name, method in report.results["methods"].items()}


# --- rows and their settings ------------------------------------------------------------------------------------
def test_each_row_has_its_settings_and_a_score_of_its_own(
    tmp_path: Path, video: TapvidVideo, fits: Fits, asked: list[Settings]
) -> None:
    settings = load_settings(overrides={**PLAIN_FLOW, "fit.steps": 9, "fit.longest_gap": 30})
    report = run(video, ["cadex", WHOLE, SHORT, AFFINE], settings, work=tmp_path)
    methods = report.results["methods"]
    assert list(methods) == ["cadex", WHOLE, SHORT, AFFINE]
    assert [s.query.fuse for s in asked] == [True, False, False, False]
    assert [s.fit.longest_gap for s in asked] == [30, 30, 9, 30]
    assert [s.fit.cadex.coupling for s in asked] == ["spline", "spline", "spline", "affine"]
    assert all(s.fit.steps == 9 for s in asked)
    assert methods["cadex"]["mean"]["average_jaccard"] < 1  # fused tracks stand still here
    assert all(methods[name]["mean"]["average_jaccard"] == 1 for name in (WHOLE, SHORT, AFFINE))
    assert {path.name for path in (tmp_path / "pan" / "eval").iterdir()} == {
        "seconds.json",
        "cadex.json",
        "cadex%2Ffield-alone.json",
        "cadex%2Fno-long-range.json",
        "cadex%2Faffine-couplings.json",
    }
    json.dumps(report.results, allow_nan=False)


def test_published_numbers_are_kept_apart_from_the_measured_ones(video: TapvidVideo, fits: Fits) -> None:
    results = run(video, ["chain", WHOLE, AFFINE]).results
    assert list(results) == ["dataset", "query_mode", "resolution", "methods", "published"]
    assert results["published"] == {WHOLE: ABLATIONS[WHOLE].numbers, AFFINE: None}
    assert set(results["methods"][WHOLE]) == {"mean", "videos"}
    assert "published" not in run(video, ["chain"]).results


def test_settings_depend_on_the_method(video: TapvidVideo, fits: Fits, asked: list[Settings]) -> None:
    given: list[dict[str, object]] = []

    def settings_for(overrides: dict[str, object]) -> Settings:
        given.append(overrides)
        steps = {"cadex": 11, "omnimotion": 22}[str(overrides["fit.method"])]
        return load_settings(overrides={**PLAIN_FLOW, "fit.steps": steps, **overrides})

    run(video, ["cadex", "omnimotion", "chain", AFFINE], settings_for=settings_for)
    assert given == [{"fit.method": "cadex"}, {"fit.method": "omnimotion"}, ABLATIONS[AFFINE].overrides]
    fitted = [(s.fit.method, s.fit.steps, s.fit.cadex.coupling) for s in fits.settings]
    assert fitted == [("cadex", 11, "spline"), ("omnimotion", 22, "spline"), ("cadex", 11, "affine")]


def test_unknown_names_are_refused_at_once(video: TapvidVideo) -> None:
    with pytest.raises(OmnitrackError, match="there is no method cadex/no-depht-prior"):
        run(video, ["cadex/no-depht-prior"])


# --- fits that overwrite each other -----------------------------------------------------------------------------
def test_rows_with_the_same_fit_share_it_wherever_they_stand(video: TapvidVideo, fits: Fits) -> None:
    report = run(video, ["cadex", AFFINE, "chain", WHOLE])
    assert list(report.results["methods"]) == ["cadex", AFFINE, "chain", WHOLE]
    assert fits.couplings == ["spline", "affine"]
    del report.results["methods"]["chain"]
    assert seconds_of_fits(report) == {"cadex": 1.0, WHOLE: 1.0, AFFINE: 2.0}


def test_finished_rows_are_taken_up_with_their_own_seconds(tmp_path: Path, video: TapvidVideo, fits: Fits) -> None:
    first = run(video, [WHOLE, AFFINE], work=tmp_path)
    assert seconds_of_fits(first) == {WHOLE: 1.0, AFFINE: 2.0}
    assert (
        run(video, [AFFINE, WHOLE, SHORT], work=tmp_path).results["methods"][WHOLE] == (first.results["methods"][WHOLE])
    )
    assert len(fits.settings) == 3
    again = run(video, [WHOLE, AFFINE, SHORT], work=tmp_path)
    assert seconds_of_fits(again) == {WHOLE: 1.0, AFFINE: 2.0, SHORT: 3.0}
    assert len(fits.settings) == 3


def test_a_fit_that_another_row_overwrote_is_made_again(tmp_path: Path, video: TapvidVideo, fits: Fits) -> None:
    run(video, [WHOLE, AFFINE], work=tmp_path)
    report = run(video, [AFFINE, WHOLE], work=tmp_path, query_mode="first")  # other queries: no saved score applies
    assert fits.couplings == ["spline", "affine", "spline"]  # the affine fit was still there
    assert fits.resumed == [False, False, False]
    assert seconds_of_fits(report) == {AFFINE: 2.0, WHOLE: 3.0}


def test_a_killed_fit_goes_on(tmp_path: Path, video: TapvidVideo, fits: Fits) -> None:
    run(video, [WHOLE], work=tmp_path)
    fits.killed = True
    with pytest.raises(KeyboardInterrupt):
        run(video, [WHOLE, AFFINE], work=tmp_path)
    report = run(video, [WHOLE, AFFINE], work=tmp_path)
    assert fits.couplings == ["spline", "affine", "affine"]
    assert fits.resumed == [False, False, True]
    assert seconds_of_fits(report) == {WHOLE: 1.0, AFFINE: 3.0}


def test_half_a_fit_of_another_row_is_not_taken_for_a_finished_one(
    tmp_path: Path, video: TapvidVideo, fits: Fits
) -> None:
    run(video, [WHOLE], work=tmp_path)
    fits.killed = True
    with pytest.raises(KeyboardInterrupt):
        run(video, [AFFINE], work=tmp_path)
    # The first row's score does not apply to other queries, and its fit, though finished, is overwritten.
    report = run(video, [WHOLE], work=tmp_path, query_mode="first")
    assert fits.couplings == ["spline", "affine", "spline"]
    assert fits.resumed == [False, False, False]
    assert seconds_of_fits(report) == {WHOLE: 3.0}


def test_a_checkpoint_that_cannot_be_read_is_replaced(tmp_path: Path, video: TapvidVideo, fits: Fits) -> None:
    fits.killed = True
    with pytest.raises(KeyboardInterrupt):
        run(video, [WHOLE], work=tmp_path)
    (path,) = Project(tmp_path / "pan").checkpoints_dir.glob("*.pt")
    path.write_bytes(path.read_bytes()[:100])
    run(video, [WHOLE], work=tmp_path)
    assert fits.resumed == [False, False]


# --- with real fits ---------------------------------------------------------------------------------------------
def test_an_ablation_for_real(tmp_path: Path, video: TapvidVideo, small_settings: Settings) -> None:
    rows = [WHOLE, AFFINE]
    report = run(video, rows, small_settings, work=tmp_path)
    seconds = seconds_of_fits(report)
    project = Project(tmp_path / "pan")
    saved = {row: json.loads((project.eval_dir / f"{row.replace('/', '%2F')}.json").read_text()) for row in rows}
    assert saved[WHOLE]["stamp"] != saved[AFFINE]["stamp"]
    for row in rows:
        assert saved[row]["seconds"]["fit"] == seconds[row] > 0
        assert report.results["methods"][row]["mean"]["pts_within_16"] > 0.5
    newest = load_checkpoint(project)
    assert newest.stamp["settings"]["cadex"]["coupling"] == "affine"
    assert run(video, rows, small_settings, work=tmp_path).results == report.results


def test_the_field_alone_is_scored_without_another_fit(video: TapvidVideo, small_settings: Settings) -> None:
    report = run(video, ["cadex", WHOLE], small_settings)
    fused, alone = (report.results["methods"][name]["videos"]["pan"] for name in ("cadex", WHOLE))
    assert fused["seconds"]["fit"] == alone["seconds"]["fit"]
    assert fused["temporal_coherence"] != alone["temporal_coherence"]


def test_every_ablation_runs(video: TapvidVideo, small_settings: Settings) -> None:
    """Not a test of how well two steps fit, but that a fit accepts the settings of every ablation."""
    small = {"fit.steps": 2, "fit.omnimotion.plane_resolutions": [4, 8], "fit.omnimotion.hidden": [8, 8]}
    results = run(video, list(ABLATIONS), load_settings(overrides=small, base=small_settings)).results
    assert list(results["methods"]) == list(ABLATIONS)
    for name, method in results["methods"].items():
        assert method["mean"]["average_pts_within_thresh"] is not None, name
