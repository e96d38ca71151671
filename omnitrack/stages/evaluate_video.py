"""Run one video of a dataset through the stages, each of them once for all methods that need it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import atomic_path
from omnitrack.config import fingerprint
from omnitrack.correspondence.flows import FlowSource, FlowsWithin, OnDemandFlows
from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.baselines import BASELINES, Baseline
from omnitrack.evaluation.metrics import score_video
from omnitrack.evaluation.table import COLUMNS
from omnitrack.evaluation.tapvid import Queries, TapvidVideo, file_stem, pixels_to_raster
from omnitrack.optimize.methods import METHODS as FIT_METHODS
from omnitrack.progress import Progress
from omnitrack.project.project import FRAMES_NAME, Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.cuts import cuts_sentence
from omnitrack.stages.flow import flow_estimator
from omnitrack.stages.graph import NODE_OF, Work, wanted_stamps
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.query import query_tracks
from omnitrack.stages.tracker import query_stamp

METHODS = (*FIT_METHODS, *BASELINES)
FPS = 24.0  # datasets do not contain it; only renders of the project depend on it


@dataclass(frozen=True)
class Plan:
    """How every video of an evaluation is treated.

    Attributes:
        settings: Settings of the project that each video becomes; the frames are used at `resolution`, so of
            `settings.init` only `cuts` and `fps` are used. Each row of the table has its own settings.
        query_mode: ``strided`` or ``first``.
        resolution: (width, height) that frames are resized to; None keeps each video's size.
        device: Where to fit.
        seed: Seed of the fit.
        progress: Receives progress updates and messages.
    """

    settings: Settings
    query_mode: str
    resolution: tuple[int, int] | None
    device: str
    seed: int
    progress: Progress


@dataclass(frozen=True)
class Row:
    """One row of the table: a method with its settings.

    Attributes:
        name: Name of the row; one method with different settings has rows with different names.
        method: A name of `METHODS`.
        settings: Settings of all stages that the method uses; for a fitted method, ``fit.method`` equals `method`.
    """

    name: str
    method: str
    settings: Settings


@dataclass(frozen=True)
class Score:
    """One row on one video: its metrics, and the seconds of each stage that it used, shared stages in full."""

    metrics: dict[str, float]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Answer:
    """Tracks (Q, T, 2) in pixels of the project, visible (Q, T), and the seconds of each stage."""

    tracks: NDArray[np.floating]
    visible: NDArray[np.bool_]
    seconds: dict[str, float]


class VideoRun:
    """A video as a project, with its queries and the saved scores of earlier runs.

    In addition to its usual products, the project holds ``eval/ROW.json``: the score of a finished row, a stamp of
    everything it depends on, and the seconds of each stage. Products of rows with different settings overwrite each
    other.

    Args:
        video: The video and its ground truth.
        queries: Queries on the video.
        plan: See `Plan`.
        root: The project directory: a new one, or one made by an earlier run from the same frames.

    Raises:
        OmnitrackError: `root` holds something else.
    """

    def __init__(self, video: TapvidVideo, queries: Queries, plan: Plan, root: Path) -> None:
        self.queries, self.plan = queries, plan
        self._open(video, root)

    def score(self, row: Row) -> Score:
        """Track the queries with a row's method and score them, or return the score that an earlier run saved."""
        settings = row.settings
        path = self.project.eval_dir / f"{file_stem(row.name)}.json"
        stamp = self._stamp(row.method, settings)
        saved = _read_json(path)
        known = _numbers(saved.get("metrics"))
        if saved.get("stamp") == stamp and known.keys() >= COLUMNS.keys():
            return Score(known, _numbers(saved.get("seconds")))
        answer = self.answer(row)
        metrics = self.metrics(answer)
        write_json(path, {"stamp": stamp, "metrics": plain_metrics(metrics), "seconds": answer.seconds})
        return Score(metrics, answer.seconds)

    def answer(self, row: Row) -> Answer:
        """Track the queries with a row's method; products that the method needs are reused or made."""
        seconds = self._run_stages(row.method, row.settings)
        begin = time.perf_counter()
        tracks, visible = self._track(row.method, row.settings)
        seconds["query"] = time.perf_counter() - begin
        if not np.isfinite(tracks).all():
            raise OmnitrackError(f"{row.name} gave positions that are not finite (NaN)", "try another --seed")
        return Answer(tracks, visible, seconds)

    def metrics(self, answer: Answer) -> dict[str, float]:
        """Score an answer against the ground truth."""
        asked, raster = self.queries, pixels_to_raster(answer.tracks, self.project.size)
        return score_video(asked.points, asked.occluded, raster, answer.visible, asked.frames, self.plan.query_mode)

    def _stamp(self, method: str, settings: Settings) -> dict[str, Any]:
        truth = hashlib.sha256(self.queries.points.tobytes() + self.queries.occluded.tobytes()).hexdigest()[:16]
        target = _made_from(method) or "flow"
        made = wanted_stamps(self._work(settings), target)[target] or {}
        if method in FIT_METHODS:
            made = query_stamp(made, settings.query)
        inputs = {"tracker": fingerprint(made), "truth": truth}
        return make_stamp(inputs, {"method": method, "query_mode": self.plan.query_mode})

    # --- the stages ---------------------------------------------------------------------------------------------
    def _open(self, video: TapvidVideo, root: Path) -> None:
        frames = resize_frames(video.frames, self.plan.resolution)
        if not (root / FRAMES_NAME).exists():
            source = f"TAP-Vid video {video.name}"
            settings = self.plan.settings
            settings = replace(settings, init=replace(settings.init, start=0, end=0, stride=1, max_size=0))
            report = init_from_frames(frames, root, settings, FPS, source, self.plan.progress)
            if report.cuts:
                self.plan.progress.note(f"{video.name}: {cuts_sentence(report.cuts)}")
            self.project = Project(root)
            write_json(self.project.eval_dir / "seconds.json", {"init": report.seconds})
            return
        self.project = Project(root)
        if not _has_frames(self.project, frames):
            raise OmnitrackError(
                f"{root} was made from other frames or at another resolution", "name another directory with --work"
            )

    def _work(self, settings: Settings) -> Work:
        plan = self.plan
        return Work(self.project, settings, plan.device, plan.seed, plan.progress)

    def _run_stages(self, method: str, settings: Settings) -> dict[str, float]:
        """Run the stages that the method needs; return the seconds of each, in whichever run it was made."""
        seconds = {"init": _numbers(_read_json(self.project.eval_dir / "seconds.json")).get("init", 0.0)}
        target = _made_from(method)
        if target is not None:
            for name, took in bring_up_to(target, self._work(settings)).seconds.items():
                stage = NODE_OF[name].timed
                seconds[stage] = seconds.get(stage, 0.0) + took
        return seconds

    def _track(self, method: str, settings: Settings) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
        """Return tracks (Q, T, 2) in pixels of the project and visible (Q, T)."""
        project, plan, pixels = self.project, self.plan, self.queries.pixels(self.project.size)
        if method in FIT_METHODS:
            answer = query_tracks(project, pixels, settings, device=plan.device, progress=plan.progress)
            return answer.tracks, answer.visible
        if method == "direct":
            with flow_estimator(project, settings, plan.progress, plan.device) as estimator:
                flows = OnDemandFlows(estimator, project.size)
                return _by_shot(BASELINES[method], flows, pixels, project, plan.progress)
        with FlowStore(project) as store:
            return _by_shot(BASELINES[method], store, pixels, project, plan.progress)


def _by_shot(
    baseline: Baseline, flows: FlowSource, queries: NDArray[np.floating], project: Project, progress: Progress
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return a baseline's tracks in the shots of their queries; in other shots they stand still and are not visible."""
    tracks = np.repeat(np.asarray(queries, np.float32)[:, None, 1:], project.num_frames, axis=1)
    visible = np.zeros(tracks.shape[:2], bool)
    for shot in project.shots:
        rows = np.flatnonzero((queries[:, 0] >= shot.start) & (queries[:, 0] < shot.stop))
        inside = slice(shot.start, shot.stop)
        moved = queries[rows] - np.array((shot.start, 0, 0), queries.dtype)
        within = FlowsWithin(flows, shot)
        frame = partial(_frame_of_shot, project, shot)
        tracks[rows, inside], visible[rows, inside] = baseline(within, moved, len(shot), progress, frame)
    return tracks, visible


def _frame_of_shot(project: Project, shot: range, t: int) -> NDArray[np.uint8]:
    return project.frame(shot.start + t)


def _made_from(method: str) -> str | None:
    """Return the product that a method's tracks are made from; None if it matches pairs that the flow does not have."""
    if method in FIT_METHODS:
        return "fit"
    return {"direct": None, "multigap": "hops"}.get(method, "flow")


def plain_metrics(metrics: dict[str, float]) -> dict[str, float | None]:
    """Return metrics for JSON: undefined ones (NaN) become null."""
    return {name: None if np.isnan(value) else value for name, value in metrics.items()}


def resize_frames(frames: NDArray[np.uint8], size: tuple[int, int] | None) -> NDArray[np.uint8]:
    """Resize frames (T, H, W, 3) to `size` (width, height): by area where they shrink, bicubic where they grow."""
    height, width = frames.shape[1:3]
    if size is None or size == (width, height):
        return frames
    smaller = (min(size[0], width), min(size[1], height))
    resized = (cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in resized])


def _has_frames(project: Project, frames: NDArray[np.uint8]) -> bool:
    if (project.num_frames, *project.size) != (len(frames), frames.shape[2], frames.shape[1]):
        return False
    return all(np.array_equal(project.frame(index), frame) for index, frame in enumerate(frames))


def write_json(path: Path, value: Any) -> None:
    """Write plain values to a file atomically."""
    with atomic_path(path) as part:
        part.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    """Return what an earlier run saved; {} if the file is missing or cannot be read."""
    try:
        loaded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _numbers(saved: object) -> dict[str, float]:
    """Return the numbers of a saved table, null as NaN; other values, which other versions saved, are left out."""
    table = saved if isinstance(saved, dict) else {}
    return {
        name: math.nan if value is None else float(value)
        for name, value in table.items()
        if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
    }
