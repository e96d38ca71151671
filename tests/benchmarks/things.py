"""Is every thing in a synthetic scene followed better by the fit than by any baseline?

    python tests/benchmarks/things.py --work work/things [--scene demo --scene street ...] [--set K=V] [--json]

The demo's clip and three more (`omnitrack.synthetic.everyday`) with exact truth and real flow: AJ, delta_avg and OA of
each method on the points of each thing, of all things, and by how much `cadex` is above the best baseline. Settings as
in `omnitrack demo`; finished projects and scores under WORK are taken up.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from omnitrack.config import load_settings, parse_assignments
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
SHOWN = {"average_jaccard": "AJ", "average_pts_within_thresh": "delta_avg", "occlusion_accuracy": "OA"}
Scores = dict[str, dict[str, dict[str, float]]]  # of each thing and method


def points_of_things(scene: SyntheticScene, video: TapvidVideo) -> dict[str, TapvidVideo]:
    """The video with the points of one thing only, for each thing, and with all points."""
    first = (~video.occluded).argmax(1)
    places = raster_to_pixels(video.points, scene.size)[np.arange(len(first)), first]
    owner = np.array([int(scene.top_layer(int(t), place[None])[0]) for t, place in zip(first, places, strict=True)])
    parts = {ALL: np.ones(len(owner), bool)}
    parts |= {layer.name: owner == index for index, layer in enumerate(scene.layers) if (owner == index).any()}
    return {
        name: replace(video, points=video.points[rows], occluded=video.occluded[rows]) for name, rows in parts.items()
    }


def score(name: str, settings: Settings, work: Path) -> Scores:
    """Metrics of every method on every thing of a scene."""
    scene = SCENES[name]()
    plan = Plan(settings, "strided", None, "cpu", 0, SILENT)
    found: Scores = {}
    for thing, video in points_of_things(scene, scene_as_video(scene, 0)).items():
        run = VideoRun(video, sample_queries(video.points, video.occluded, "strided"), plan, work / name)
        found[thing] = {method: run.score(Row(method, method, settings)).metrics for method in METHODS}
    return found


def table(name: str, found: Scores) -> list[str]:
    """Rows of a scene."""
    lines = []
    for thing, methods in found.items():
        cells = [" / ".join(f"{100 * values[key]:.1f}" for key in SHOWN) for values in methods.values()]
        jaccard = {method: 100 * values["average_jaccard"] for method, values in methods.items()}
        gain = jaccard["cadex"] - max(value for method, value in jaccard.items() if method != "cadex")
        lines.append(f"| {name} | {thing} | {' | '.join(cells)} | {gain:+.1f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="keeps projects and scores")
    parser.add_argument("--scene", action="append", choices=tuple(SCENES), help="these (repeatable); all otherwise")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    settings = load_settings(overrides={"fit.steps": DEMO_STEPS, **parse_assignments(given.set)})
    given.work.mkdir(parents=True, exist_ok=True)
    found = {name: score(name, settings, given.work) for name in given.scene or SCENES}
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"| scene | thing | {' | '.join(METHODS)} | cadex over the best |")
    print(f"|---|---|{'---:|' * (len(METHODS) + 1)}")
    for name, scores in found.items():
        print("\n".join(table(name, scores)))


if __name__ == "__main__":
    main()
