"""Is every object of a scene tracked better than by the baselines?

    python tests/benchmarks/things.py --work work/things [--scene demo --scene street ...] [--set K=V] [--json FILE]

The demo's clip and three more (`omnitrack.synthetic.everyday`) with exact ground truth and real flow: AJ, delta_avg and
OA of each method on the points of each object and of all objects, and how far the AJ of `cadex` is above that of the
best baseline. Settings as in `omnitrack demo`; finished projects and scores under WORK are reused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import Columns, Report, TableRow, add_settings, parser_of, settings_of

from omnitrack.evaluation.baselines import BASELINES
from omnitrack.evaluation.tapvid import TapvidVideo, raster_to_pixels, sample_queries
from omnitrack.progress import SILENT
from omnitrack.settings import Settings
from omnitrack.stages.demo import DEMO_STEPS, scene_as_video
from omnitrack.stages.evaluate_video import Plan, Row, VideoRun
from omnitrack.synthetic import SyntheticScene, demo_scene
from omnitrack.synthetic.everyday import EVERYDAY_SCENES

SCENES = {"demo": demo_scene, **EVERYDAY_SCENES}
METHODS = ("cadex", *BASELINES)
ALL = "all"
SHOWN = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy")
COLUMNS: Columns = {
    "scene": "{scene}",
    "thing": "{thing}",
    **{method: " / ".join(f"{{{method}[{key}]:.1f}}" for key in SHOWN) for method in METHODS},
    "cadex over the best": "{gain:+.1f}",
}
Scores = dict[str, dict[str, dict[str, float]]]  # by object, method and metric


def points_of_things(scene: SyntheticScene, video: TapvidVideo) -> dict[str, TapvidVideo]:
    """Return the video with the points of one object only, for each object, and with all points."""
    first = (~video.occluded).argmax(1)
    places = raster_to_pixels(video.points, scene.size)[np.arange(len(first)), first]
    owner = np.array([int(scene.top_layer(int(t), place[None])[0]) for t, place in zip(first, places, strict=True)])
    parts = {ALL: np.ones(len(owner), bool)}
    parts |= {layer.name: owner == index for index, layer in enumerate(scene.layers) if (owner == index).any()}
    return {
        name: replace(video, points=video.points[rows], occluded=video.occluded[rows]) for name, rows in parts.items()
    }


def score(name: str, settings: Settings, work: Path) -> Scores:
    """Return the metrics of every method on every object of a scene."""
    scene = SCENES[name]()
    plan = Plan(settings, "strided", None, "cpu", 0, SILENT)
    found: Scores = {}
    for thing, video in points_of_things(scene, scene_as_video(scene, 0)).items():
        run = VideoRun(video, sample_queries(video.points, video.occluded, "strided"), plan, work / name)
        found[thing] = {method: run.score(Row(method, method, settings)).metrics for method in METHODS}
    return found


def rows_of(name: str, found: Scores) -> Iterator[TableRow]:
    """Yield a row per object: AJ, delta_avg, OA of each method in per cent, and AJ above the best baseline."""
    for thing, methods in found.items():
        shares = {method: {key: 100 * values[key] for key in SHOWN} for method, values in methods.items()}
        best = max(values["average_jaccard"] for method, values in shares.items() if method != "cadex")
        yield {"scene": name, "thing": thing, **shares, "gain": shares["cadex"]["average_jaccard"] - best}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--work", type=Path, required=True, help="keeps projects and scores")
    parser.add_argument("--scene", action="append", choices=tuple(SCENES), help="these (repeatable); all otherwise")
    add_settings(parser)
    given = parser.parse_args()
    settings, report = settings_of(given, {"fit.steps": DEMO_STEPS}), Report(given.json)
    given.work.mkdir(parents=True, exist_ok=True)
    table = report.table("things", COLUMNS, names=2)
    for name in given.scene or SCENES:
        for row in rows_of(name, score(name, settings, given.work)):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
