"""Is a share c of the places with confidence c right, and which numbers of the formula would make it so?

    python tests/benchmarks/confidence.py dev.pkl WORK [--videos A,B] [--blank work/blank] [--picture FILE]
        [--json FILE]

For the fits that `omnitrack eval --work WORK` left and, with `--blank`, those of `blank_areas.py --work` (wall, plate):
the mean distance of confidence and share in ten bins (right: seen in truth, called visible or not, and within 4 px at
256 x 256), by the numbers of `omnitrack.correspondence.confidence` and, clip by clip, by numbers fitted to all other
clips, each weighing alike. At the end the numbers fitted to all of them, to be written there, and a picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from blank_areas import GRID_PX, plate_scene, synthetic_clip, wall_scene
from common import Columns, Report, add_videos, chosen_videos, parser_of
from numpy.typing import NDArray

import omnitrack.correspondence.confidence as formula
from omnitrack.correspondence.agreement import agreement
from omnitrack.correspondence.anchors import Anchors
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.evaluation.tapvid import file_stem, raster_to_pixels, sample_queries
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.fit import load_field
from omnitrack.stages.point_tracker import PointTracker
from omnitrack.units import raster_scale

NEAR_PX = 4.0  # at 256 x 256
NAMES = ("BASE", "CHAIN", "AGREEMENT", "LIKENESS", "SEEN", "SEEN_TEXTURE", "SEEN_CHAIN", "SEEN_AGREEMENT")
RIDGE, ROUNDS = 1e-3, 30  # of the fit, by Newton's steps
COLUMNS: Columns = {
    "clip": "{clip}",
    "places": "{places}",
    "right": "{right:.2f}",
    "confidence": "{confidence:.2f}",
    "calibration error": "{error:.3f}",
    "fitted to the others": "{others:.3f}",
}
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """N places: columns of the formula as in `NAMES` (N, 8), and whether the places are right (N,)."""

    cues: Numbers
    right: NDArray[np.bool_]

    def error(self, weights: Numbers) -> float:
        """Calibration error by these numbers of the formula."""
        return sum(abs(c - r) * n for c, r, n in self.bins(weights)) / len(self.right)

    def confidence(self, weights: Numbers) -> Numbers:
        return np.asarray(1 / (1 + np.exp(-self.cues @ weights)))

    def bins(self, weights: Numbers) -> list[tuple[float, float, int]]:
        """(mean confidence, share that is right, places) of ten bins; empty ones are left out."""
        sure = self.confidence(weights)
        rows = [np.minimum((sure * 10).astype(int), 9) == k for k in range(10)]
        return [(float(sure[r].mean()), float(self.right[r].mean()), int(r.sum())) for r in rows if r.any()]


def today() -> Numbers:
    """The numbers that the program has."""
    return np.array([getattr(formula, name) for name in NAMES])


def examples_of(project: Project, queries: Numbers, pixels: Numbers, seen: NDArray[np.bool_]) -> Examples:
    """What is known at queries (Q, 3), rows (t, x, y) in pixels of the project, with truth (Q, T, 2) and (Q, T)."""
    cues, right = [], []
    with FlowStore(project) as flows:
        tracker = PointTracker(project, load_field(project, "cpu"), flows, Settings())
        for source in np.unique(queries[:, 0]).astype(int).tolist():
            rows = queries[:, 0] == source
            known = tracker.estimates(Anchors.of(source, queries[rows, 1:].astype(np.float32)))
            fused = tracker.fused(known)
            visible = tracker.visible(known, fused).astype(np.float64)
            chain, agreed = known.chained.confidence, agreement(known.chained, known.field.pixels, flows.size)
            alike, texture = np.clip(known.likeness(fused), *formula.LIKENESS_RANGE), np.log2(1 + known.texture)
            columns = (np.ones_like(visible), chain, agreed, alike)
            columns += tuple(visible * value for value in (1.0, texture, chain, agreed))
            near = np.linalg.norm(fused - pixels[rows], axis=-1) < NEAR_PX * raster_scale(flows.size)
            others = np.arange(project.num_frames) != source
            cues.append(np.stack(columns, -1)[:, others].reshape(-1, len(NAMES)))
            right.append((near & seen[rows])[:, others].ravel())
    return Examples(np.concatenate(cues), np.concatenate(right))


def synthetic(work: Path) -> Iterator[tuple[str, Examples]]:
    """The places of the synthetic clips of `blank_areas.py`, all of them, blank or not."""
    for name, scene in (("wall", wall_scene()), ("plate", plate_scene())):
        project, clip = Project(work / name), synthetic_clip(scene, name)
        places = pixel_grid(scene.size, round(GRID_PX)).astype(np.float64)
        truth = clip.truth(places)
        yield name, examples_of(project, np.column_stack([np.zeros(len(places)), places]), truth.pixels, truth.seen)


def fitted(of: Mapping[str, Examples]) -> Numbers:
    """The numbers under which the clips, each weighing alike, are most likely."""
    cues, right = (np.concatenate([getattr(one, name) for one in of.values()]) for name in ("cues", "right"))
    share = np.concatenate([np.full(len(one.right), 1 / len(one.right)) for one in of.values()]) / len(of)
    weights = np.zeros(len(NAMES))
    for _ in range(ROUNDS):
        sure = 1 / (1 + np.exp(-cues @ weights))
        slope = cues.T @ (share * (right - sure)) - RIDGE * weights
        bend = (cues * (share * sure * (1 - sure))[:, None]).T @ cues + RIDGE * np.eye(len(weights))
        weights = weights + np.linalg.solve(bend, slope)
    return weights


def draw(found: Mapping[str, Examples], weights: Numbers, path: Path) -> None:
    """Confidence against the share that is right, a line per clip."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, of in found.items():
        sure, right, _ = zip(*of.bins(weights), strict=True)
        axes.plot(sure, right, marker="o", markersize=4, label=f"{name} ({of.error(weights):.3f})")
    axes.set(xlabel="confidence", ylabel="share that is seen and within 4 px")
    axes.set_title("Confidence of fused tracks (calibration error)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("work", type=Path, help="what `omnitrack eval --work` left")
    parser.add_argument("--blank", type=Path, help="what `blank_areas.py --work` left")
    parser.add_argument("--picture", type=Path, help="reliability diagram (needs matplotlib)")
    given = parser.parse_args()
    found, report = {}, Report(given.json)
    for video in chosen_videos(given):
        project = Project(given.work / file_stem(video.name))
        asked = sample_queries(video.points, video.occluded, "strided")
        truth = raster_to_pixels(asked.points, project.size)
        found[video.name] = examples_of(project, asked.pixels(project.size), truth, ~asked.occluded)
    if given.blank is not None:
        found |= dict(synthetic(given.blank))
    table = report.table("calibration", COLUMNS)
    for name, of in found.items():
        others = fitted({other: more for other, more in found.items() if other != name}) if len(found) > 1 else today()
        row = {"clip": name, "places": len(of.right), "right": float(of.right.mean())}
        row |= {"confidence": float(of.confidence(today()).mean()), "error": of.error(today())}
        table.add(row | {"others": of.error(others)})
    everything = fitted(found)
    mean = [float(np.mean([of.error(weights) for of in found.values()])) for weights in (today(), everything)]
    print(f"\nmean error {mean[0]:.3f}; by numbers fitted to all {mean[1]:.3f}:")
    print(", ".join(f"{name} = {value:.3f}" for name, value in zip(NAMES, everything, strict=True)))
    report.keep("fitted", [dict(zip(NAMES, everything.tolist(), strict=True))])
    if given.picture is not None:
        draw(found, today(), given.picture)
    report.write()


if __name__ == "__main__":
    main()
