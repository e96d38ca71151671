"""`omnitrack eval`: score trackers on a TAP-Vid dataset, beside the baselines on the same flow; and ablations."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from omnitrack.config import load_settings
from omnitrack.errors import OmnitrackError, closest_hint
from omnitrack.evaluation.ablations import ABLATIONS
from omnitrack.evaluation.metrics import METRICS, mean_metrics, score_video
from omnitrack.evaluation.predictions import load_prediction
from omnitrack.evaluation.tapvid import Queries, TapvidVideo, file_stem, sample_queries
from omnitrack.progress import SILENT, Progress
from omnitrack.settings import Settings
from omnitrack.stages.evaluate_video import (
    FIT_METHODS,
    METHODS,
    Plan,
    Row,
    Score,
    VideoRun,
    plain_metrics,
    write_json,
)
from omnitrack.units import RASTER_PX
from omnitrack.workers.contract import Executor, Job
from omnitrack.workers.here import Here

SettingsFor = Callable[[dict[str, object]], Settings]  # {"fit.method": "cadex", ...} -> settings that include them


@dataclass(frozen=True)
class ScoredVideo:
    """The scores of a video by row of the table, and its number of queries."""

    name: str
    queries: int
    scores: dict[str, Score]


@dataclass(frozen=True)
class EvalReport:
    """What an evaluation found.

    Attributes:
        results: ``{"dataset", "query_mode", "resolution", "methods": {NAME: {"mean": {METRIC: value}, "videos": {VIDEO:
            {METRIC: value, ..., "seconds": {STAGE: s}}}}}}``; shares in [0, 1], temporal coherence in px at 256 x 256,
            null where a metric is undefined. With ablations also ``"published": {ROW: {METRIC: value, ...,
            "source"}}``, the papers' numbers; null for a row or a metric without a known number.
        videos: Number of videos.
        queries: Number of queries in all videos.
        output: Where the results were written; None if they were not.
        seconds: Wall time.
    """

    results: dict[str, Any]
    videos: int
    queries: int
    output: str | None
    seconds: float


class VideosFailed(OmnitrackError):
    """Some videos of an evaluation failed.

    Args:
        failures: The error of each failed video.
        report: Report of the other videos.
    """

    def __init__(self, failures: Sequence[OmnitrackError], report: EvalReport) -> None:
        told = "; ".join(failure.message for failure in failures)
        count = len(failures) + report.videos
        message = told if len(failures) == 1 else f"{len(failures)} of {count} videos failed: {told}"
        super().__init__(message, failures[0].hint)
        self.report = report


def evaluate(
    videos: Iterable[TapvidVideo],
    methods: Sequence[str],
    settings: Settings,
    query_mode: str = "strided",
    resolution: tuple[int, int] | None = (RASTER_PX, RASTER_PX),
    predictions: Mapping[str, Path] | None = None,
    work: Path | None = None,
    device: str = "auto",
    seed: int = 0,
    dataset: str = "",
    progress: Progress = SILENT,
    output: Path | None = None,
    settings_for: SettingsFor | None = None,
    executor: Executor | None = None,
) -> EvalReport:
    """Score trackers on videos with known tracks.

    Args:
        videos: As `omnitrack.evaluation.tapvid.load_tapvid` reads them; one at a time is in memory.
        methods: Names of `METHODS`, which are fitted fields and the baselines of `omnitrack.evaluation.baselines`, and
            of `omnitrack.evaluation.ablations.ABLATIONS`; each is a row of the results.
        settings: Settings of the stages that the methods use. Of ``settings.init`` only `cuts` and `fps` are used.
        query_mode: ``strided`` or ``first``, see `omnitrack.evaluation.tapvid.sample_queries`.
        resolution: (width, height) that frames are resized to; None keeps each video's own size. Scores are at
            256 x 256 scale in any case.
        predictions: Other trackers: name and directory of saved tracks, see `omnitrack.evaluation.predictions`.
        work: Directory that keeps one project per video, ``work/VIDEO``; finished stages and scores in it are reused.
            None uses temporary directories.
        device: Where to fit: auto, cpu, cuda or cuda:n.
        seed: Seed of the fits.
        dataset: Name of the dataset in the results.
        progress: Receives progress updates and messages of every video, method and stage.
        output: Results file, rewritten after each video.
        settings_for: Returns the settings of a row from the overrides that it requires; None applies them to
            `settings`. Needed if defaults depend on the method.
        executor: Processes the videos; None: one after another in this process.

    Raises:
        OmnitrackError: Unknown methods, or no video.
        VideosFailed: A stage or a prediction of a video failed, after all others were scored.
    """
    begin = time.perf_counter()
    predictions = dict(predictions or {})
    methods = list(dict.fromkeys(methods))
    _check_names(methods, predictions)
    lay_over: SettingsFor = settings_for or (lambda overrides: load_settings(overrides=overrides, base=settings))
    rows = [_row(name, settings, lay_over) for name in methods]
    plan = Plan(settings, query_mode, resolution, "", seed, SILENT)  # the worker sets device and progress
    jobs = (Job(video.name, score_in_project, (video, rows, predictions, plan, work)) for video in videos)
    scored: dict[int, ScoredVideo] = {}
    failed: dict[int, OmnitrackError] = {}
    results: dict[str, Any] = {}
    for outcome in (executor or Here(device)).run(jobs, progress):
        if outcome.error is not None:
            failed[outcome.number] = _naming(outcome.name, outcome.error)
            continue
        scored[outcome.number] = outcome.result
        ordered = [scored[number] for number in sorted(scored)]  # independent of which one ended first
        results = _results(dataset, query_mode, resolution, [*methods, *predictions], ordered)
        if output is not None:
            write_json(output, results)
    if not scored and not failed:
        raise OmnitrackError(f"there is no video to evaluate in {dataset or 'the dataset'}", "choose others: --videos")
    count, seconds = sum(video.queries for video in scored.values()), time.perf_counter() - begin
    report = EvalReport(results, len(scored), count, str(output) if output else None, seconds)
    if failed:
        raise VideosFailed([failed[number] for number in sorted(failed)], report)
    return report


def score_in_project(
    video: TapvidVideo,
    rows: Sequence[Row],
    predictions: Mapping[str, Path],
    plan: Plan,
    work: Path | None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> ScoredVideo:
    """Score all rows of the table on one video, in its project in `work`, or in a temporary one.

    Args:
        video: The video and its ground truth.
        rows: Rows of the table.
        predictions: As for `evaluate`.
        plan: Plan of the evaluation.
        work: As for `evaluate`.
        device: Where to fit.
        progress: Receives progress updates and messages of every method and stage.

    Raises:
        OmnitrackError: A stage or a prediction failed; it names the video and the method.
    """
    plan = replace(plan, device=device, progress=progress)
    queries = sample_queries(video.points, video.occluded, plan.query_mode)
    with tempfile.TemporaryDirectory(prefix="omnitrack-eval-") as temporary:
        root = (work or Path(temporary)) / file_stem(video.name)
        return ScoredVideo(video.name, len(queries), _score_video(video, queries, rows, predictions, plan, root))


def _naming(video: str, error: OmnitrackError) -> OmnitrackError:
    """Return the error with the video's name, which errors of an executor lack."""
    named = error.message.startswith(f"video {video}")
    return error if named else OmnitrackError(f"video {video}: {error.message}", error.hint)


def _check_names(methods: Sequence[str], predictions: Mapping[str, Path]) -> None:
    for name in methods:
        method = ABLATIONS[name].method if name in ABLATIONS else name
        if method not in METHODS:
            raise OmnitrackError(f"there is no method {method}", closest_hint(method, METHODS, "known"))
    for name, directory in predictions.items():
        if name in methods:
            raise OmnitrackError(f"predictions {name} have the name of a method", f"rename: my-{name}={directory}")
        if not directory.is_dir():
            raise OmnitrackError(f"predictions {name}: there is no directory {directory}", "name one: NAME=DIR")
    if not methods and not predictions:
        raise OmnitrackError("there is nothing to evaluate", f"name a method ({', '.join(METHODS)}) or predictions")


def _row(name: str, settings: Settings, settings_for: SettingsFor) -> Row:
    if name in ABLATIONS:
        changed = settings_for(ABLATIONS[name].overrides)
        return Row(name, changed.fit.method, changed)
    return Row(name, name, settings_for({"fit.method": name}) if name in FIT_METHODS else settings)


def _score_video(
    video: TapvidVideo,
    queries: Queries,
    rows: Sequence[Row],
    predictions: Mapping[str, Path],
    plan: Plan,
    root: Path,
) -> dict[str, Score]:
    if not len(queries):
        plan.progress.warn(f"video {video.name} has no visible point to ask for: its metrics are undefined")
        return {
            name: Score(dict.fromkeys(METRICS, float("nan")), {})
            for name in (*(row.name for row in rows), *predictions)
        }
    scores = {}
    # Predictions first: a missing file should be reported before the hours of a fit.
    for name, directory in predictions.items():
        with _about(video.name, name):
            scores[name] = _score_prediction(directory, video.name, queries, plan.query_mode)
    if rows:
        with _about(video.name):
            run = VideoRun(video, queries, plan, root)
        for row in _with_equal_fits_together(rows):
            with _about(video.name, row.name):
                scores[row.name] = run.score(row)
            plan.progress.note(_sentence(video.name, row.name, scores[row.name]))
    return scores


def _with_equal_fits_together(rows: Sequence[Row]) -> list[Row]:
    """Order the rows so that rows with the same fit follow each other, because each fit overwrites the last one."""
    fits = [(row.method, row.settings.fit) for row in rows]
    return sorted(rows, key=lambda row: fits.index((row.method, row.settings.fit)))


@contextmanager
def _about(video: str, *method: str) -> Iterator[None]:
    """Add the video, and the method if given, to an error of the block."""
    try:
        yield
    except OmnitrackError as error:
        raise OmnitrackError(f"video {', '.join((video, *method))}: {error.message}", error.hint) from error


def _score_prediction(directory: Path, video: str, queries: Queries, query_mode: str) -> Score:
    tracks, visible = load_prediction(directory, video, queries)
    return Score(score_video(queries.points, queries.occluded, tracks, visible, queries.frames, query_mode), {})


def _sentence(video: str, method: str, score: Score) -> str:
    metrics = score.metrics
    return (
        f"{video} {method}: AJ {100 * metrics['average_jaccard']:.1f}, "
        f"delta_avg {100 * metrics['average_pts_within_thresh']:.1f}, OA {100 * metrics['occlusion_accuracy']:.1f}, "
        f"TC {metrics['temporal_coherence']:.2f}, {sum(score.seconds.values()):.1f} s"
    )


def _results(
    dataset: str, query_mode: str, resolution: tuple[int, int] | None, rows: Sequence[str], videos: list[ScoredVideo]
) -> dict[str, Any]:
    methods = {}
    for name in rows:
        scores = {video.name: video.scores[name] for video in videos}
        mean = mean_metrics([score.metrics for score in scores.values()])
        each = {video: {**plain_metrics(score.metrics), "seconds": score.seconds} for video, score in scores.items()}
        methods[name] = {"mean": plain_metrics(mean), "videos": each}
    size = f"{resolution[0]}x{resolution[1]}" if resolution else "native"
    results = {"dataset": dataset, "query_mode": query_mode, "resolution": size, "methods": methods}
    published = {name: ABLATIONS[name].numbers for name in rows if name in ABLATIONS}
    return {**results, "published": published} if published else results
