"""`omnitrack demo`: the whole pipeline on a clip with known ground truth, scored beside plain flow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.tapvid import Queries, TapvidVideo, pixels_to_raster, raster_to_pixels, sample_queries
from omnitrack.evaluation.things import Thing, score_things
from omnitrack.progress import SILENT, Progress
from omnitrack.settings import FitSettings, Settings
from omnitrack.stages.bring_up import bring_up_to
from omnitrack.stages.evaluate_video import Answer, Plan, Row, VideoRun, plain_metrics
from omnitrack.stages.graph import Work
from omnitrack.stages.query import query_tracks
from omnitrack.stages.query_points import build_queries
from omnitrack.stages.render import render
from omnitrack.synthetic import SyntheticScene, demo_scene
from omnitrack.tracks.files import save_tracks

POINTS_PER_LAYER = 32  # true tracks on each object of the clip, so that the background does not outvote the rest
PLAIN = "chain"  # the baseline to compare with: needs nothing but optical flow
QUERY_MODE = "first"  # one query per point, so that points can be counted
STAGES = ("clip", "flow", "filter", "fit", "score", "render")
OVERLAY_STYLES = ("points", "trails")
DEMO_STEPS = 400  # of the fit if the settings leave the default: about half a minute on two cores
OVERLAY_SIDE = 480  # px: the clip itself is small, so that two cores are enough
GRID = "24@0"  # columns of the tracked grid, and its frame
NEXT_COMMAND = "omnitrack run YOUR_VIDEO.mp4"


@dataclass(frozen=True)
class DemoReport:
    """What the demo made and how well it did.

    Attributes:
        project: The project directory.
        frames: Number of frames of the clip.
        size: (width, height) of the clip in pixels.
        points: Number of scored points, each queried in the first frame where it is visible.
        method: The fitted method.
        things: How well the points on each object of the clip were tracked, by the method and by plain flow.
        results: TAP-Vid metrics of both, in the form of `omnitrack eval`.
        seconds: Wall time of each stage.
        tracks: File of the tracked grid.
        overlay: Video of the grid's trails.
        overlays: All videos.
        next_command: What to type for your own video.
    """

    project: str
    frames: int
    size: tuple[int, int]
    points: int
    method: str
    things: dict[str, Thing]
    results: dict[str, Any]
    seconds: dict[str, float]
    tracks: str
    overlay: str
    overlays: list[str]
    next_command: str


def run_demo(
    root: Path,
    settings: Settings,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = SILENT,
    scene: SyntheticScene | None = None,
) -> DemoReport:
    """Generate a clip, fit a motion field to it, draw its tracks, and measure them against the exact ground truth.

    Args:
        root: The project directory to make; if an earlier demo left it, the run resumes where that one stopped.
        settings: Settings of all stages; `fit.steps` at its default becomes `DEMO_STEPS`.
        device: Where to fit.
        seed: Seed of the fit and of the choice of scored points.
        progress: Receives progress updates and messages of every stage.
        scene: The clip; None uses `omnitrack.synthetic.demo_scene`.

    Raises:
        OmnitrackError: `root` holds something else, or a stage failed.
    """
    if settings.fit.steps == FitSettings().steps:
        settings = replace(settings, fit=replace(settings.fit, steps=DEMO_STEPS))
    if settings.render.min_side == 0:
        settings = replace(settings, render=replace(settings.render, min_side=OVERLAY_SIDE))
    seconds: dict[str, float] = {}
    progress.plan(STAGES)
    with progress.stage("clip"), _timed("clip", seconds):
        run, thing_of = _begin(root, scene, Plan(settings, QUERY_MODE, None, device, seed, progress))
    project, method = run.project, settings.fit.method
    bring_up_to("fit", Work(project, settings, device, seed, progress))
    with progress.stage("score"):
        answers = {name: run.answer(Row(name, name, settings)) for name in (method, PLAIN)}
        things = _score_things(run, thing_of, answers)
    seconds |= answers[method].seconds
    with progress.stage("render"), _timed("render", seconds):
        path = project.tracks_dir / "tracks.npz"
        tracks = query_tracks(project, build_queries(project, grids=[GRID]), settings, device=device, progress=progress)
        save_tracks(tracks, path)
        renders = [render(project, settings, tracks, style, None, device, progress) for style in OVERLAY_STYLES]
    return DemoReport(
        project=str(root),
        frames=project.num_frames,
        size=project.size,
        points=len(run.queries),
        method=method,
        things=things,
        results=_results(run, answers),
        seconds=seconds,
        tracks=str(path),
        overlay=renders[-1].output,
        overlays=[report.output for report in renders],
        next_command=NEXT_COMMAND,
    )


def _begin(root: Path, scene: SyntheticScene | None, plan: Plan) -> tuple[VideoRun, list[str]]:
    """Return the clip as a project, and the name of the object that each scored point is on."""
    with plan.progress.task("paint", 1, unit="clips") as task:
        scene = scene or demo_scene()
        video = scene_as_video(scene, plan.seed)
        task.advance()
    queries = sample_queries(video.points, video.occluded, QUERY_MODE)
    try:
        return VideoRun(video, queries, plan, root), _things_of(scene, queries)
    except OmnitrackError as error:
        raise OmnitrackError(error.message, "name another directory: omnitrack demo DIR") from error


def _score_things(run: VideoRun, thing_of: list[str], answers: Mapping[str, Answer]) -> dict[str, Thing]:
    asked, size = run.queries, run.project.size
    found = {name: (answer.tracks, answer.visible) for name, answer in answers.items()}
    return score_things(thing_of, asked.frames, raster_to_pixels(asked.points, size), asked.occluded, found, size)


def scene_as_video(scene: SyntheticScene, seed: int) -> TapvidVideo:
    """Return a scene's frames with the exact tracks of random points, equally many on each of its layers."""
    frames = scene.frames()
    tracks, visible = scene.tracks(_spread_points(scene, np.random.default_rng(seed)))
    return TapvidVideo("demo", frames, pixels_to_raster(tracks, scene.size).astype(np.float32), ~visible)


def _spread_points(scene: SyntheticScene, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return queries (N, 3) at random pixels of random frames, `POINTS_PER_LAYER` on each layer, if ever visible."""
    order = np.stack([scene.depth_order(t) for t in range(scene.num_frames)])
    chosen = []
    for layer in range(len(scene.layers)):
        places = np.argwhere(order == layer)
        chosen.append(places[rng.permutation(len(places))[:POINTS_PER_LAYER]])
    return np.concatenate(chosen)[:, [0, 2, 1]].astype(np.float64)


def _things_of(scene: SyntheticScene, queries: Queries) -> list[str]:
    """Return the name of the layer that each query is on."""
    asked = queries.pixels(scene.size)
    return [scene.layers[int(scene.top_layer(int(t), np.array([[x, y]]))[0])].name for t, x, y in asked]


def _results(run: VideoRun, answers: Mapping[str, Answer]) -> dict[str, Any]:
    methods, size = {}, run.project.size
    for name, answer in answers.items():
        metrics = plain_metrics(run.metrics(answer))
        methods[name] = {"mean": metrics, "videos": {"demo": {**metrics, "seconds": answer.seconds}}}
    return {
        "dataset": "demo clip, exact truth",
        "query_mode": QUERY_MODE,
        "resolution": f"{size[0]}x{size[1]}",
        "methods": methods,
    }


@contextmanager
def _timed(stage: str, seconds: dict[str, float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - began
