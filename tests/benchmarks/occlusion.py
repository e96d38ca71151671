"""Are points tracked through occlusions, in the right order, from every seed?

    python tests/benchmarks/occlusion.py [--seeds 10] [--method omnimotion --method cadex] [--preset NAME]
        [--set KEY=VALUE] [--json FILE]

Two synthetic scenes with exact ground truth and real flow (dense inverse search on their frames): a disc that passes
behind a pole and reappears, and a strip in front of a plane that moves the other way. One fit per seed is evaluated:
TAP-Vid metrics on random points of every layer, the median error in pixels of points in the first frame after an
occlusion, and whether the fitted depth orders the layers correctly where they meet; beside it, the same metrics of the
baselines direct, chain and multigap.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from common import Columns, Report, TableRow, add_settings, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.correspondence.estimators import open_estimator
from omnitrack.correspondence.flows import OnDemandFlows
from omnitrack.evaluation.baselines import BASELINES
from omnitrack.evaluation.metrics import score_video
from omnitrack.evaluation.tapvid import pixels_to_raster, sample_queries
from omnitrack.progress import SILENT
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.demo import scene_as_video
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field, load_field
from omnitrack.stages.flow import clip_of, compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.query import query_tracks
from omnitrack.synthetic import SyntheticScene, occluder_scene, two_planes

MEETING_PX = 15  # side of the square around a pixel within which another layer meets it
SCENES = {
    "occluder": (occluder_scene(), [("pole", "disc"), ("disc", "background")]),
    "two planes": (two_planes((160, 120), 16), [("strip", "background")]),
}
COLUMNS: Columns = {
    "scene": "{scene}",
    "tracker": "{tracker}",
    "AJ (lowest)": "{average_jaccard:.1f} ({lowest:.1f})",
    "delta_avg": "{delta:.1f}",
    "OA": "{accuracy:.1f}",
    "px at reappearance (worst)": lambda row: (
        "-" if np.isnan(row["reappearance_px"]) else f"{row['reappearance_px']:.2f} ({row['worst_px']:.2f})"
    ),
    "in order": lambda row: "-" if row["ordered"] is None else f"{row['ordered']} of {len(row['seeds'])}",
    "seconds": "{seconds:.0f}",
}


@dataclass(frozen=True)
class Result:
    """One tracker on one scene: metrics in per cent, error at reappearance in px, whether layers are in order."""

    average_jaccard: float
    delta: float
    accuracy: float
    reappearance_px: float
    ordered: bool | None
    seconds: float


def reappearance(tracks: NDArray[np.floating], truth: NDArray[np.floating], seen: NDArray[np.bool_]) -> float:
    """Return the median error in the first visible frame after an occluded one."""
    back = np.zeros_like(seen)
    back[:, 1:] = seen[:, 1:] & ~seen[:, :-1]
    return float(np.median(np.linalg.norm(tracks - truth, axis=-1)[back])) if back.any() else float("nan")


def in_order(project: Project, scene: SyntheticScene, pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether, where two layers meet, the nearer has the smaller median depth, in most frames of each pair."""
    field, names = load_field(project, "cpu"), [layer.name for layer in scene.layers]
    reach = np.ones((MEETING_PX, MEETING_PX), np.uint8)
    right: dict[tuple[str, str], list[bool]] = {pair: [] for pair in pairs}
    for t in range(0, scene.num_frames, 3):
        depth, order = field.depth_map(t), scene.depth_order(t)
        for pair in pairs:
            near, far = (order == names.index(name) for name in pair)
            near_far = near & (cv2.dilate(far.astype(np.uint8), reach) > 0)
            far_near = far & (cv2.dilate(near.astype(np.uint8), reach) > 0)
            if min(near_far.sum(), far_near.sum()) > 20:
                right[pair].append(bool(np.median(depth[near_far]) < np.median(depth[far_near])))
    return all(np.mean(seen) > 0.5 for seen in right.values())


def run(name: str, methods: Sequence[str], settings: dict[str, Settings], seeds: int) -> dict[str, list[Result]]:
    scene, pairs = SCENES[name]
    video = scene_as_video(scene, 0)
    asked = sample_queries(video.points, video.occluded, "first")
    queries = asked.pixels(scene.size)
    truth, seen = scene.tracks(queries)
    after = np.arange(scene.num_frames)[None] > queries[:, :1]  # only occlusions after the query count
    found: dict[str, list[Result]] = {}

    def judge(tracks: NDArray[np.floating], visible: NDArray[np.bool_], ordered: bool | None, seconds: float) -> Result:
        raster = pixels_to_raster(tracks, scene.size)
        metrics = score_video(asked.points, asked.occluded, raster, visible, asked.frames, "first")
        keys = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy")
        jaccard, delta, accuracy = (100 * metrics[key] for key in keys)
        return Result(jaccard, delta, accuracy, reappearance(tracks, truth, seen | ~after), ordered, seconds)

    with tempfile.TemporaryDirectory() as folder:
        base = settings[methods[0]]
        init_from_frames(scene.frames(), Path(folder) / "clip", base, 24.0, name)
        project = Project(Path(folder) / "clip")
        compute_flow(project, base)
        filter_flow(project, base)
        for baseline, track in BASELINES.items():
            with FlowStore(project) as store:
                estimator = open_estimator(base.flow, clip_of(project))
                flows = OnDemandFlows(estimator, project.size) if baseline == "direct" else store
                begin = time.perf_counter()
                tracks, visible = track(flows, queries, project.num_frames, SILENT, project.frame)
                found[baseline] = [judge(tracks, visible, None, time.perf_counter() - begin)]
        for method in methods:
            found[method] = []
            for seed in range(seeds):
                seconds = fit_field(project, settings[method], "cpu", seed).seconds
                answer = query_tracks(project, queries, settings[method], device="cpu")
                ordered = in_order(project, scene, pairs)
                found[method].append(judge(answer.tracks, answer.visible, ordered, seconds))
    return found


def row_of(scene: str, tracker: str, results: list[Result]) -> TableRow:
    """Return the row of one tracker on one scene, over all seeds and with the results of each."""
    jaccard, px = [r.average_jaccard for r in results], [r.reappearance_px for r in results]
    order = [r.ordered for r in results]
    return {
        "scene": scene,
        "tracker": tracker,
        "average_jaccard": np.mean(jaccard),
        "lowest": min(jaccard),
        **{key: np.mean([getattr(r, key) for r in results]) for key in ("delta", "accuracy", "seconds")},
        "reappearance_px": np.median(px),
        "worst_px": max(px),
        "ordered": None if None in order else sum(map(bool, order)),
        "seeds": [asdict(result) for result in results],
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--method", action="append")
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--preset")
    add_settings(parser)
    asked = parser.parse_args()
    methods = asked.method or ["omnimotion", "cadex"]
    settings = {method: settings_of(asked, {"fit.method": method}, asked.preset) for method in methods}
    report = Report(asked.json)
    table = report.table("trackers", COLUMNS, names=2)
    for name in asked.scene or SCENES:
        for tracker, results in run(name, methods, settings, asked.seeds).items():
            table.add(row_of(name, tracker, results))
    report.write()


if __name__ == "__main__":
    main()
