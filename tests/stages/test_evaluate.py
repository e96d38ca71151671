"""The whole evaluation on a clip in which every point moves by the same known amount."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from leavings import PLAIN_FLOW, leave_filtered, leave_fit
from numpy.typing import NDArray

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import METRICS
from omnitrack.evaluation.tapvid import TapvidVideo, sample_queries
from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages import evaluate_video, flow
from omnitrack.stages.evaluate import EvalReport, VideosFailed, evaluate
from omnitrack.stages.evaluate_video import resize_frames
from omnitrack.tracks.tracks import Tracks
from omnitrack.workers.contract import Job, Outcome
from omnitrack.workers.here import Here

SIZE, SHIFT = np.array([64, 48]), np.array([2, 1])  # of the fixture `clip`
STARTS = np.array([[10, 12], [30, 20], [45, 30], [20, 35]])


def truth(length: int = 8) -> NDArray[np.float32]:
    """Return (4, T, 2) raster positions of the points of `clip` that are at the pixels `STARTS` in frame 0."""
    pixels = STARTS[:, None] + SHIFT * np.arange(length)[:, None]
    return ((pixels + 0.5) / SIZE).astype(np.float32)


@pytest.fixture
def video(clip: NDArray[np.uint8]) -> TapvidVideo:
    return TapvidVideo("pan", clip, truth(), np.zeros((4, 8), bool))


def run(videos: Any, methods: list[str], **options: Any) -> EvalReport:
    plain = load_settings(overrides=PLAIN_FLOW)
    options = {"settings": plain, "resolution": None, "dataset": "test", "device": "cpu"} | options
    return evaluate(videos, methods, **options)


@pytest.fixture
def stages_seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stages that ran, in order; fitting is replaced by an oracle with the motion of `clip`."""
    seen: list[str] = []
    for room, name in ((evaluate_video, "init_from_frames"), (flow, "compute_flow")):
        job = getattr(room, name)
        monkeypatch.setattr(room, name, lambda *a, job=job, name=name, **k: (seen.append(name), job(*a, **k))[1])

    def chain_from_everywhere(project: Project, settings: Settings, progress: object) -> float:
        seen.append("chain_from_everywhere")
        leave_filtered(project, settings, 1.5)
        return 1.5

    def fit_field(project: Project, settings: Settings, device: str, seed: int, *_: object) -> SimpleNamespace:
        seen.append("fit_field")
        leave_fit(project, settings, seed, 1.5)
        return SimpleNamespace(seconds=1.5)

    monkeypatch.setattr("omnitrack.stages.filter.chain_from_everywhere", chain_from_everywhere)
    monkeypatch.setattr("omnitrack.stages.fit.fit_field", fit_field)

    def oracle(project: Project, queries: NDArray, settings: Settings, **_: Any) -> Tracks:
        seen.append("query_tracks")
        times = np.arange(project.num_frames)
        motion = (times - queries[:, :1])[..., None] * SHIFT
        tracks = queries[:, None, 1:] + motion
        visible = np.ones(tracks.shape[:2], bool)
        ones = np.ones(tracks.shape[:2], np.float32)
        return Tracks(queries, tracks, visible, ones, ones, times, project.size, project.meta.fps)

    monkeypatch.setattr(evaluate_video, "query_tracks", oracle)
    return seen


BASELINE_STAGES = {
    "direct": ["init", "query"],
    "chain": ["init", "flow", "query"],
    "multigap-plain": ["init", "flow", "query"],
    "multigap": ["init", "flow", "judge", "query"],
}


# --- what it measures -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("resolution", [None, (96, 96)])
def test_baselines_follow_a_translation(video: TapvidVideo, resolution: tuple[int, int] | None) -> None:
    report = run([video], list(BASELINE_STAGES), resolution=resolution)
    assert list(report.results) == ["dataset", "query_mode", "resolution", "methods"]
    assert report.results["dataset"] == "test"
    assert report.results["query_mode"] == "strided"
    assert report.results["resolution"] == ("96x96" if resolution else "native")
    assert (report.videos, report.queries, report.output) == (1, 8, None)
    for name, stages in BASELINE_STAGES.items():
        method = report.results["methods"][name]
        values = method["videos"]["pan"]
        assert set(method["mean"]) == set(METRICS)
        assert set(values) == {*METRICS, "seconds"}
        assert values["pts_within_4"] > 0.95  # a pixel of the clip is more than five at 256 x 256
        assert values["temporal_coherence"] < 2
        if name != "direct":  # long gaps fail its cycle check on frames this small
            assert values["occlusion_accuracy"] > 0.9
        assert {key: values[key] for key in METRICS} == method["mean"]
        assert list(values["seconds"]) == stages
        assert all(seconds >= 0 for seconds in values["seconds"].values())
    json.dumps(report.results, allow_nan=False)


@pytest.mark.parametrize("mode", ["strided", "first"])
def test_exact_tracks_have_perfect_scores(video: TapvidVideo, stages_seen: list[str], mode: str) -> None:
    values = run([video], ["cadex"], query_mode=mode).results["methods"]["cadex"]["videos"]["pan"]
    assert stages_seen == ["init_from_frames", "compute_flow", "chain_from_everywhere", "fit_field", "query_tracks"]
    seconds = values.pop("seconds")
    assert list(seconds) == ["init", "flow", "judge", "filter", "fit", "query"]
    assert seconds["filter"] == seconds["fit"] == 1.5
    assert values.pop("temporal_coherence") == pytest.approx(0, abs=1e-4)
    assert set(values.values()) == {1.0}


def test_a_real_fit(video: TapvidVideo) -> None:
    """Not a test of how well two steps fit, but that the stages are called correctly."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        settings = load_settings(overrides={"fit.steps": 2, "fit.anchors": 64})
        values = run([video], ["cadex"], settings=settings).results["methods"]["cadex"]["videos"]["pan"]
    finally:
        torch.set_num_threads(threads)
    assert values["pts_within_16"] > 0.9
    assert all(seconds > 0 for seconds in values["seconds"].values())


def test_mean_over_videos(video: TapvidVideo, stages_seen: list[str]) -> None:
    still = TapvidVideo("wrong", video.frames, np.repeat(truth()[:, :1], 8, axis=1), video.occluded)
    results = run([video, still], ["cadex"]).results["methods"]["cadex"]
    assert list(results["videos"]) == ["pan", "wrong"]
    right, wrong = (results["videos"][name]["average_jaccard"] for name in ("pan", "wrong"))
    assert wrong < right == 1
    assert results["mean"]["average_jaccard"] == pytest.approx((right + wrong) / 2)


def test_one_query_does_not_change_another(video: TapvidVideo) -> None:
    together = run([video], ["multigap", "direct"]).results["methods"]
    for name in ("multigap", "direct"):
        alone = [
            run([TapvidVideo("pan", video.frames, truth()[n : n + 1], video.occluded[n : n + 1])], [name])
            for n in range(4)
        ]
        scores = [report.results["methods"][name]["mean"]["average_pts_within_thresh"] for report in alone]
        assert together[name]["mean"]["average_pts_within_thresh"] == pytest.approx(np.mean(scores), abs=1e-12)


def test_a_video_without_visible_points_is_undefined(video: TapvidVideo) -> None:
    heard: list[str] = []
    progress = Progress()
    progress.warn = heard.append  # type: ignore[method-assign]
    hidden = TapvidVideo("dark", video.frames, truth(), np.ones((4, 8), bool))
    methods = run([hidden, video], ["chain"], progress=progress).results["methods"]
    assert methods["chain"]["videos"]["dark"] == dict.fromkeys(METRICS) | {"seconds": {}}
    assert methods["chain"]["mean"]["occlusion_accuracy"] == methods["chain"]["videos"]["pan"]["occlusion_accuracy"]
    assert heard == ["video dark has no visible point to ask for: its metrics are undefined"]


# --- predictions ------------------------------------------------------------------------------------------------
def save_predictions(directory: Path, video: TapvidVideo, offset_px: float = 0.0) -> Path:
    directory.mkdir(exist_ok=True)
    queries = sample_queries(video.points, video.occluded, "strided")
    tracks = queries.points * 256 + [offset_px, 0]
    np.savez(directory / f"{video.name}.npz", tracks=tracks, visible=~queries.occluded, size=(256, 256), raster=True)
    return directory


def test_predictions_beside_methods(tmp_path: Path, video: TapvidVideo) -> None:
    predictions = {
        "exact": save_predictions(tmp_path / "exact", video),
        "off": save_predictions(tmp_path / "off", video, 3.0),
    }
    methods = run([video], ["chain"], predictions=predictions).results["methods"]
    assert list(methods) == ["chain", "exact", "off"]
    assert methods["exact"]["mean"]["average_jaccard"] == 1
    assert methods["off"]["mean"]["average_pts_within_thresh"] == 3 / 5
    assert methods["off"]["mean"]["average_jaccard"] == 3 / 5
    assert methods["off"]["videos"]["pan"]["seconds"] == {}
    assert list(run([video], [], predictions=predictions).results["methods"]) == ["exact", "off"]


def test_missing_prediction_names_the_video_before_anything_runs(
    tmp_path: Path, video: TapvidVideo, stages_seen: list[str]
) -> None:
    with pytest.raises(OmnitrackError, match=r"video pan, mine: there are no predictions at .*pan\.npz"):
        run([video], ["cadex"], predictions={"mine": tmp_path})
    assert stages_seen == []


# --- resuming ---------------------------------------------------------------------------------------------------
def test_finished_scores_are_taken_up(tmp_path: Path, video: TapvidVideo, stages_seen: list[str]) -> None:
    first = run([video], ["cadex", "multigap"], work=tmp_path)
    ran = list(stages_seen)
    assert ran == ["init_from_frames", "compute_flow", "chain_from_everywhere", "fit_field", "query_tracks"]
    assert run([video], ["cadex", "multigap"], work=tmp_path).results == first.results
    assert stages_seen == ran
    saved = json.loads((tmp_path / "pan" / "eval" / "cadex.json").read_text())
    assert saved["metrics"]["average_jaccard"] == 1


def test_another_method_shares_what_is_there(tmp_path: Path, video: TapvidVideo, stages_seen: list[str]) -> None:
    first = run([video], ["chain"], work=tmp_path)
    second = run([video], ["cadex"], work=tmp_path)
    assert stages_seen == ["init_from_frames", "compute_flow", "chain_from_everywhere", "fit_field", "query_tracks"]
    seconds = [
        report.results["methods"][name]["videos"]["pan"]["seconds"]
        for report, name in ((first, "chain"), (second, "cadex"))
    ]
    assert seconds[0]["init"] == seconds[1]["init"] > 0
    assert seconds[0]["flow"] == seconds[1]["flow"] > 0


def test_what_depends_on_a_change_runs_again(tmp_path: Path, video: TapvidVideo, stages_seen: list[str]) -> None:
    run([video], ["cadex"], work=tmp_path)
    stages_seen.clear()
    run([video], ["cadex"], work=tmp_path, query_mode="first")
    assert stages_seen == ["query_tracks"]
    stages_seen.clear()
    run([video], ["cadex"], work=tmp_path, seed=1)
    assert stages_seen == ["fit_field", "query_tracks"]
    moved = TapvidVideo("pan", video.frames, truth() + np.float32(0.01), video.occluded)
    stages_seen.clear()
    run([moved], ["cadex"], work=tmp_path, seed=1)
    assert stages_seen == ["query_tracks"]


def test_another_resolution_is_refused(tmp_path: Path, video: TapvidVideo) -> None:
    run([video], ["direct"], work=tmp_path)
    with pytest.raises(OmnitrackError, match=r"video pan: .*pan was made from other frames or at another resolution"):
        run([video], ["direct"], work=tmp_path, resolution=(32, 32))
    other = TapvidVideo("pan", video.frames[::-1].copy(), video.points, video.occluded)
    with pytest.raises(OmnitrackError, match="other frames"):
        run([other], ["direct"], work=tmp_path)


def test_a_damaged_score_is_made_again(tmp_path: Path, video: TapvidVideo, stages_seen: list[str]) -> None:
    run([video], ["cadex"], work=tmp_path)
    (tmp_path / "pan" / "eval" / "cadex.json").write_text('{"stamp"')
    stages_seen.clear()
    run([video], ["cadex"], work=tmp_path)
    assert stages_seen == ["query_tracks"]


@pytest.mark.parametrize("metrics", [None, [], {"average_jaccard": 1.0}, {"average_jaccard": {"a": 1}}])
def test_a_score_without_its_numbers_is_made_again(
    tmp_path: Path, video: TapvidVideo, stages_seen: list[str], metrics: Any
) -> None:
    """As another version may have saved it; also the seconds of `init`."""
    first = run([video], ["cadex"], work=tmp_path).results["methods"]["cadex"]["mean"]
    folder = tmp_path / "pan" / "eval"
    saved = json.loads((folder / "cadex.json").read_text())
    (folder / "cadex.json").write_text(json.dumps({**saved, "metrics": metrics}))
    (folder / "seconds.json").write_text(json.dumps({"init": {"seconds": 1.0}}))
    stages_seen.clear()
    again = run([video], ["cadex"], work=tmp_path).results["methods"]["cadex"]["mean"]
    assert stages_seen == ["query_tracks"]
    assert again["average_jaccard"] == first["average_jaccard"]


def test_undefined_metrics_are_taken_up(tmp_path: Path, video: TapvidVideo, stages_seen: list[str]) -> None:
    occluded = np.ones((4, 8), bool)
    occluded[:, 0] = False  # visible in the query frame only
    brief = TapvidVideo("pan", video.frames, truth(), occluded)
    for _ in range(2):
        mean = run([brief], ["cadex"], work=tmp_path).results["methods"]["cadex"]["mean"]
        assert mean["average_pts_within_thresh"] is None
        assert mean["average_jaccard"] == 0
    assert stages_seen.count("query_tracks") == 1


# --- what is left after a failure -------------------------------------------------------------------------------
def test_results_are_kept_when_a_later_video_fails(tmp_path: Path, video: TapvidVideo) -> None:
    def videos() -> Iterator[TapvidVideo]:
        yield video
        yield TapvidVideo("a/b", video.frames, video.points, video.occluded)

    predictions = {"mine": save_predictions(tmp_path / "mine", video)}
    output = tmp_path / "results.json"
    with pytest.raises(OmnitrackError, match=r"video a/b, mine: there are no predictions at .*a%2Fb\.npz"):
        run(videos(), ["chain"], predictions=predictions, output=output)
    results = json.loads(output.read_text())
    assert list(results["methods"]["mine"]["videos"]) == ["pan"]
    assert results["methods"]["mine"]["mean"]["average_jaccard"] == 1


def test_output_is_the_results(tmp_path: Path, video: TapvidVideo) -> None:
    output = tmp_path / "new" / "results.json"
    report = run([video], ["direct"], output=output)
    assert json.loads(output.read_text()) == report.results
    assert report.output == str(output)


def test_a_failing_stage_names_video_and_method(
    video: TapvidVideo, stages_seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise OmnitrackError("out of memory", "use --device cpu")

    monkeypatch.setattr("omnitrack.stages.fit.fit_field", failing)
    with pytest.raises(OmnitrackError, match=r"^video pan, cadex: out of memory$") as caught:
        run([video], ["cadex"])
    assert caught.value.hint == "use --device cpu"


def test_positions_that_are_not_finite(video: TapvidVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = np.full((8, 8, 2), math.nan)
    monkeypatch.setitem(evaluate_video.BASELINES, "direct", lambda *a: (lost, np.ones((8, 8), bool)))
    with pytest.raises(OmnitrackError, match="video pan, direct: direct gave positions that are not finite"):
        run([video], ["direct"])


# --- refused immediately ----------------------------------------------------------------------------------------
def test_refused_at_once(tmp_path: Path, video: TapvidVideo) -> None:
    with pytest.raises(OmnitrackError, match="there is no method cadx") as caught:
        run([video], ["cadx"])
    assert caught.value.hint == "did you mean cadex?"
    with pytest.raises(OmnitrackError, match="nothing to evaluate"):
        run([video], [])
    with pytest.raises(OmnitrackError, match="predictions chain have the name of a method"):
        run([video], ["chain"], predictions={"chain": tmp_path})
    with pytest.raises(OmnitrackError, match="predictions mine: there is no directory"):
        run([video], [], predictions={"mine": tmp_path / "none"})
    with pytest.raises(OmnitrackError, match="there is no video to evaluate in test"):
        run([], ["chain"])
    with pytest.raises(OmnitrackError, match="no query mode 'last'"):
        run([video], ["chain"], query_mode="last")


def test_resizing() -> None:
    frames = np.zeros((2, 4, 8, 3), np.uint8)
    frames[:, :, 4:] = 200
    assert resize_frames(frames, None) is frames
    assert resize_frames(frames, (8, 4)) is frames
    # Frames are shrunk by area: each new pixel is the mean of the pixels it covers.
    np.testing.assert_array_equal(resize_frames(frames, (2, 1))[0, 0, :, 0], [0, 200])
    np.testing.assert_array_equal(resize_frames(frames, (1, 1))[0, 0, :, 0], [100])
    assert resize_frames(frames, (4, 16)).shape == (2, 16, 4, 3)


# --- several in parallel ----------------------------------------------------------------------------------------
class Backwards(Here):
    """An executor that returns the last job first."""

    def run(self, jobs: Iterable[Job], progress: Progress, total: int | None = None) -> Iterator[Outcome]:
        return iter(list(super().run(jobs, progress, total))[::-1])


def test_results_do_not_depend_on_which_video_ends_first(video: TapvidVideo, stages_seen: list[str]) -> None:
    still = TapvidVideo("wrong", video.frames, np.repeat(truth()[:, :1], 8, axis=1), video.occluded)
    found = [run([video, still], ["cadex"], executor=executor("cpu")).results for executor in (Here, Backwards)]
    for results in found:
        for scores in results["methods"]["cadex"]["videos"].values():
            del scores["seconds"]
    assert json.dumps(found[0]) == json.dumps(found[1])


def test_a_video_that_fails_leaves_the_others_alone(tmp_path: Path, video: TapvidVideo) -> None:
    predictions = {"mine": save_predictions(tmp_path / "mine", video)}
    missing = [TapvidVideo(name, video.frames, video.points, video.occluded) for name in ("lost", "gone")]
    with pytest.raises(VideosFailed) as caught:
        run([missing[0], video, missing[1]], ["chain"], predictions=predictions)
    assert caught.value.message.startswith("2 of 3 videos failed: video lost, mine: there are no predictions at ")
    assert "; video gone, mine: there are no predictions at " in caught.value.message
    assert list(caught.value.report.results["methods"]["chain"]["videos"]) == ["pan"]
