"""Is the confidence calibrated, and which weights of its formula would calibrate it?

    python tests/benchmarks/confidence.py --clips dev.pkl work/default-256 --clips dev2.pkl work/dev2-256
        --scenes work/scenes [--keep work/cues] [--picture FILE] [--json FILE]

Evaluates the fits that `omnitrack eval --work` left, as far as they exist, and synthetic clips with exact ground truth,
which are fitted under `--scenes`: the demo's, and the textureless wall and plate of `blank_areas.py`. A position is
right if it is truly visible, whether called visible or not, and within 4 px at 256 x 256. The table has the calibration
error, which is the mean distance of confidence and share in ten bins, and how well confidence separates right from
wrong (area under the curve). Both are computed with the weights of `omnitrack.correspondence.confidence` and, clip by
clip, with weights fitted to all other clips, each clip weighted equally. There is one row per clip, and one for the
pooled positions of each set and of all sets. Last come the weights fitted to all clips, to be copied into that module,
and a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from blank_areas import FIXED, fitted_project, plate_scene, synthetic_clip, wall_scene
from common import Columns, Report, TableRow, parser_of
from numpy.typing import NDArray
from reliability import Reliability, draw_reliability

import omnitrack.correspondence.confidence as formula
from omnitrack.config import load_settings
from omnitrack.correspondence.anchors import Anchors
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.evaluation.tapvid import TapvidVideo, file_stem, load_tapvid, raster_to_pixels, sample_queries
from omnitrack.project.checkpoint import newest_checkpoint
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.fit import load_field
from omnitrack.stages.point_tracker import PointTracker
from omnitrack.synthetic import SyntheticScene, demo_scene
from omnitrack.units import raster_scale

NEAR_PX = 4.0  # at 256 x 256
GRID_PX, ASKED_FRAMES = 20, (0, 8, 16)  # of queries on synthetic clips
RIDGE, ROUNDS = 1e-3, 30  # of the fit by Newton's method
SYNTHETIC = "synthetic"
COLUMNS: Columns = {
    "places": "{name}",
    "number": "{number}",
    "right": "{right:.2f}",
    "confidence": "{confidence:.2f}",
    "calibration error": "{error:.3f}",
    "AUC": "{area:.3f}",
    "fitted to the others: calibration error": "{others_error:.3f}",
    "AUC ": "{others_area:.3f}",
}
Numbers = NDArray[np.floating]
Bools = NDArray[np.bool_]
Frames = list[NDArray[np.uint8]]
Made = Iterator[tuple[str, Callable[[], dict[str, NDArray]]]]  # names of clips, and functions that compute their cues
Tracks = Callable[[int, Numbers], tuple[Numbers, Bools]]  # pixels (P, 2) of a frame -> (P, T, 2), visible (P, T)


@dataclass(frozen=True)
class Examples:
    """N positions: terms of the formula (N, K), and whether each position is right (N,)."""

    terms: Numbers
    right: Bools

    def by(self, weights: Numbers) -> Reliability:
        """Return the confidence with these weights of the formula."""
        most = np.where(self.terms[:, list(formula.WEIGHTS).index("seen")] > 0, 1, formula.MOST_HIDDEN)
        return Reliability(np.minimum(1 / (1 + np.exp(-self.terms @ weights)), most), self.right)


def today() -> Numbers:
    """Return the weights that the package uses."""
    return np.array(list(formula.WEIGHTS.values()))


def arrays_of(project: Project, queries: Numbers, pixels: Numbers, seen: Bools) -> dict[str, NDArray]:
    """Return the cues (N,) of queries in all other frames, and whether the positions are right.

    Queries (Q, 3) are rows (t, x, y) in pixels of the project. Ground truth is `pixels` (Q, T, 2) and `seen` (Q, T).
    """
    found: list[dict[str, NDArray]] = []
    with FlowStore(project) as flows:
        tracker = PointTracker(project, load_field(project, "cpu"), flows, Settings())
        for source in np.unique(queries[:, 0]).astype(int).tolist():
            rows = queries[:, 0] == source
            known = tracker.estimates(Anchors.of(source, queries[rows, 1:].astype(np.float32)))
            fused = tracker.fused(known)
            near = np.linalg.norm(fused - pixels[rows], axis=-1) < NEAR_PX * raster_scale(flows.size)
            values = vars(tracker.cues(known, fused)) | {"right": near & seen[rows]}
            others = np.arange(project.num_frames) != source
            found.append({name: of[:, others].ravel() for name, of in values.items()})
    return {name: np.concatenate([of[name] for of in found]) for name in found[0]}


def of_clips(dataset: Path, work: Path) -> Made:
    """Yield the fitted videos of a dataset, with the cues of their annotated points."""

    def arrays(video: TapvidVideo) -> dict[str, NDArray]:
        project, asked = Project(work / file_stem(video.name)), sample_queries(video.points, video.occluded, "strided")
        truth = raster_to_pixels(asked.points, project.size)
        return arrays_of(project, asked.pixels(project.size), truth, ~asked.occluded)

    for video in load_tapvid(dataset):
        root = work / file_stem(video.name)
        if root.exists() and newest_checkpoint(Project(root)) is not None:
            yield video.name, partial(arrays, video)


def of_scenes(work: Path) -> Made:
    """Yield the synthetic clips, with the cues of a grid of places, textureless or not."""

    def arrays(name: str) -> dict[str, NDArray]:
        frames, tracks = SCENES[name]()
        project = fitted_project(frames, load_settings(overrides=FIXED), work / name)
        grid = pixel_grid(project.size, GRID_PX).astype(np.float64)
        pixels, seen = zip(*(tracks(frame, grid) for frame in ASKED_FRAMES), strict=True)
        queries = [np.column_stack([np.full(len(grid), frame), grid]) for frame in ASKED_FRAMES]
        return arrays_of(project, np.concatenate(queries), np.concatenate(pixels), np.concatenate(seen))

    for name in SCENES:
        yield name, partial(arrays, name)


def _drawn(scene: SyntheticScene, frames: Frames | None = None) -> tuple[Frames, Tracks]:
    def tracks(frame: int, pixels: Numbers) -> tuple[Numbers, Bools]:
        return scene.tracks(np.column_stack([np.full(len(pixels), frame), pixels]))

    return list(scene.frames()) if frames is None else frames, tracks


SCENES: dict[str, Callable[[], tuple[Frames, Tracks]]] = {
    "wall": lambda: _drawn(wall_scene(), synthetic_clip(wall_scene(), "wall").frames),
    "plate": lambda: _drawn(plate_scene(), synthetic_clip(plate_scene(), "plate").frames),
    "demo": lambda: _drawn(demo_scene()),
}


def kept(name: str, make: Callable[[], dict[str, NDArray]], folder: Path | None) -> Examples:
    """Return the examples of a clip, from the folder if they exist there."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is not None and path.exists():
        arrays = dict(np.load(path))
    else:
        arrays = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **arrays)
    right = arrays.pop("right")
    return Examples(np.stack(formula.Cues(**arrays).terms(), -1).astype(np.float64), right)


def fitted(of: Iterable[Examples]) -> Numbers:
    """Return the most likely weights, with every clip weighted equally."""
    of = list(of)
    terms, right = (np.concatenate([getattr(one, name) for one in of]) for name in ("terms", "right"))
    share = np.concatenate([np.full(len(one.right), 1 / len(one.right)) for one in of]) / len(of)
    weights = np.zeros(terms.shape[1])
    for _ in range(ROUNDS):
        sure = 1 / (1 + np.exp(-terms @ weights))
        slope = terms.T @ (share * (right - sure)) - RIDGE * weights
        bend = (terms * (share * sure * (1 - sure))[:, None]).T @ terms + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def row_of(name: str, by_today: Reliability, by_others: Reliability) -> TableRow:
    """Return the row of one clip or of several pooled."""
    row = {"name": name, "number": len(by_today.true), "right": float(by_today.true.mean())}
    row |= {"confidence": float(by_today.predicted.mean())}
    row |= {"error": by_today.calibration_error(), "area": by_today.area()}
    return row | {"others_error": by_others.calibration_error(), "others_area": by_others.area()}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument(
        "--clips", type=Path, nargs=2, action="append", default=[], metavar=("DATASET", "WORK"), help="(repeatable)"
    )
    parser.add_argument("--scenes", type=Path, metavar="WORK", help="synthetic clips too")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keeps cues, and takes them from there")
    parser.add_argument("--picture", type=Path, help="reliability diagram (needs matplotlib)")
    given = parser.parse_args()
    report = Report(given.json)
    made = {work.name: of_clips(dataset, work) for dataset, work in given.clips}
    if given.scenes is not None:
        made[SYNTHETIC] = of_scenes(given.scenes)
    sets = {name: {clip: kept(clip, make, given.keep) for clip, make in clips} for name, clips in made.items()}
    clips = {clip: of for of_set in sets.values() for clip, of in of_set.items()}
    by_today = {clip: of.by(today()) for clip, of in clips.items()}
    by_others = {
        clip: of.by(fitted(more for other, more in clips.items() if other != clip)) for clip, of in clips.items()
    }
    table = report.table("calibration", COLUMNS)
    for clip in clips:
        table.add(row_of(clip, by_today[clip], by_others[clip]))
    pooled = {}
    for name, members in {**sets, "all": clips}.items():
        pooled[name] = Reliability.of_all(by_today[clip] for clip in members)
        table.add(row_of(f"{name}, pooled", pooled[name], Reliability.of_all(by_others[clip] for clip in members)))
    weights = dict(zip(formula.WEIGHTS, fitted(clips.values()).tolist(), strict=True))
    print("\nfitted to all:", ", ".join(f'"{name}": {value:.3f}' for name, value in weights.items()))
    report.keep("fitted", [weights])
    if given.picture is not None:
        labels = ("confidence", f"share that is seen and within {NEAR_PX:g} px")
        title = "Confidence of fused tracks (grey: single clips)"
        draw_reliability(pooled, given.picture, title, labels, by_today.values())
    report.write()


if __name__ == "__main__":
    main()
