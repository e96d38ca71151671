"""Does a depth prior help, and does a wrong one hurt?

    python tests/benchmarks/depth_prior.py [--scene occluder] [--method cadex] [--preset fast] [--seeds 1] [--all]
        [--set KEY=VALUE] [--json FILE]

Synthetic scenes with exact ground truth and real flow (dense inverse search on their frames), for which the order of
the layers gives exact depth maps. Every method is fitted without a prior, with the exact one, with versions of it on
other scales, and with wrong ones: upside down, noise, constant, of other frames, a ramp. The table has TAP-Vid metrics
of random points of every layer (AJ and delta also for the field alone, not fused with measured flow), and how often the
fitted depth orders the layers correctly where they meet. It also has what was estimated of the prior: the share of
occlusions that it orders correctly, the share of its variance between tracks, how much better it agrees along moving
points than if all stayed in place, and its mean weight. A prior of weight 0 leaves a fit unchanged to the last bit, and
its row repeats the one without a prior; with --all it is fitted anyway.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from common import Columns, Report, TableRow, add_settings, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.evaluation.metrics import score_video
from omnitrack.evaluation.tapvid import pixels_to_raster, sample_queries
from omnitrack.motion.geometry import Camera
from omnitrack.optimize.depth_prior import Belief, DepthPrior, believe
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.demo import scene_as_video
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field, load_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.query import query_tracks
from omnitrack.synthetic import SyntheticScene, occluder_scene
from omnitrack.synthetic.park import demo_scene

MEETING_PX = 15  # side of the square around a pixel within which another layer meets it
BLUR_PX = 6.0  # of noise: as smooth as the depth of networks
# The distance of each layer, nearest first as in the scene, and the pairs of layers that meet.
SCENES: dict[str, tuple[SyntheticScene, tuple[float, ...], list[tuple[int, int]]]] = {
    "occluder": (occluder_scene(), (2.0, 4.0, 8.0), [(0, 1), (1, 2)]),
    "park": (demo_scene((192, 144), 16), (2.0, 3.0, 4.0, 9.0), [(0, 3), (1, 2), (1, 3), (2, 3)]),
}
Maps = NDArray[np.float32]
MEASURED = ("average_jaccard", "delta", "accuracy", "field_jaccard", "field_delta", "ordered")
COLUMNS: Columns = {
    "scene": "{scene}",
    "method": "{method}",
    "prior": "{prior}",
    "AJ": "{average_jaccard:.1f}",
    "delta_avg": "{delta:.1f}",
    "OA": "{accuracy:.1f}",
    "AJ, field alone": "{field_jaccard:.1f}",
    "delta, field alone": "{field_delta:.1f}",
    "fitted depth in order, %": "{ordered:.1f}",
    "prior: order": lambda row: shown(row["order"]),
    "consistency": lambda row: shown(row["consistency"]),
    "follows": lambda row: shown(row["follows"]),
    "mean weight": lambda row: shown(row["weight"]),
}


def shown(value: float | None) -> str:
    """Format an estimate for a prior; "-" without a prior."""
    return "-" if value is None else f"{value:.2f}"


def priors(scene: SyntheticScene, distances: tuple[float, ...]) -> Iterator[tuple[str, str, Maps | None]]:
    """Yield the name, kind and maps (T, H, W) of each prior."""
    rng = np.random.default_rng(0)
    count = scene.num_frames
    exact = np.array(distances)[np.stack([scene.depth_order(t) for t in range(count)])]
    scale, shift = rng.uniform(0.5, 2, (count, 1, 1)), rng.uniform(-1, 1, (count, 1, 1))
    noise = np.stack([cv2.GaussianBlur(rng.standard_normal(exact[0].shape), (0, 0), BLUR_PX) for _ in range(count)])
    almost_constant = np.ones_like(exact)
    almost_constant[:, 0, 0] = 1.001  # fully constant maps are refused
    ramp = np.broadcast_to(np.linspace(0, 1, exact.shape[1])[None, :, None], exact.shape)
    found = {
        "none": ("depth", None),
        "exact depth": ("depth", exact),
        "exact disparity, each frame on its own scale": ("inverse", scale / exact + shift),
        "upside down": ("inverse", exact),
        "noise, new in each frame": ("inverse", noise),
        "noise, the same in all frames": ("inverse", np.broadcast_to(noise[0], exact.shape)),
        "constant": ("depth", almost_constant),
        "frames shuffled": ("depth", exact[rng.permutation(count)]),
        "a ramp, nearer at the bottom": ("inverse", ramp),
    }
    for name, (kind, maps) in found.items():
        yield name, kind, None if maps is None else np.asarray(maps, np.float32)


def order(project: Project, scene: SyntheticScene, pairs: list[tuple[int, int]]) -> float:
    """Return the share of frames and pairs of layers whose nearer one has the smaller median depth where they meet."""
    field, reach = load_field(project, "cpu"), np.ones((MEETING_PX, MEETING_PX), np.uint8)
    right = []
    for t in range(0, scene.num_frames, 3):
        depth, layers = field.depth_map(t), scene.depth_order(t)
        for pair in pairs:
            near, far = (layers == index for index in pair)
            near_far = near & (cv2.dilate(far.astype(np.uint8), reach) > 0)
            far_near = far & (cv2.dilate(near.astype(np.uint8), reach) > 0)
            if min(near_far.sum(), far_near.sum()) > 20:
                right.append(bool(np.median(depth[near_far]) < np.median(depth[far_near])))
    return float(np.mean(right))


def with_prior(settings: Settings, folder: Path, kind: str, maps: Maps | None) -> Settings:
    """Write the maps to a folder and return the settings of a fit with them."""
    if maps is None:
        return settings
    folder.mkdir()
    for t, values in enumerate(maps):
        np.save(folder / f"{t:04d}.npy", values)
    return replace(settings, depth=replace(settings.depth, source="folder", path=str(folder), kind=kind))


def judge(project: Project, scene: SyntheticScene, settings: Settings) -> list[float]:
    """Return AJ, delta and accuracy in per cent, then AJ and delta of the field alone."""
    video = scene_as_video(scene, 0)
    asked = sample_queries(video.points, video.occluded, "first")
    values = []
    for fuse in (True, False):
        answer = query_tracks(
            project, asked.pixels(scene.size), replace(settings, query=replace(settings.query, fuse=fuse)), device="cpu"
        )
        raster = pixels_to_raster(answer.tracks, scene.size)
        metrics = score_video(asked.points, asked.occluded, raster, answer.visible, asked.frames, "first")
        names = ("average_jaccard", "average_pts_within_thresh", "occlusion_accuracy")
        values += [100 * metrics[name] for name in names[: 3 if fuse else 2]]
    return values


def belief_in(project: Project, settings: Settings, kind: str, maps: Maps) -> Belief:
    data = read_correspondences(project, torch.device("cpu"), settings.fit.correspondences)
    return believe(DepthPrior(torch.from_numpy(maps), kind == "inverse"), data, Camera(project.size))


def run(name: str, methods: list[str], settings: dict[str, Settings], seeds: int, fit_all: bool) -> Iterator[TableRow]:
    """Yield the rows of one scene."""
    scene, distances, pairs = SCENES[name]
    with tempfile.TemporaryDirectory() as folder:
        base = settings[methods[0]]
        init_from_frames(scene.frames(), Path(folder) / "clip", base, 24.0, name)
        project = Project(Path(folder) / "clip")
        compute_flow(project, base)
        filter_flow(project, base)
        for method in methods:
            without: list[list[float]] = []
            for number, (prior, kind, maps) in enumerate(priors(scene, distances)):
                results = without
                found: dict[str, float | None] = dict.fromkeys(("order", "consistency", "follows", "weight"))
                if maps is not None:
                    belief = belief_in(project, settings[method], kind, maps)
                    found = {"order": belief.order, "consistency": belief.consistency, "follows": belief.follows}
                    found["weight"] = float(belief.weight.mean())
                if found["weight"] is None or found["weight"] > 0 or fit_all:
                    chosen = with_prior(settings[method], Path(folder) / f"{method}{number}", kind, maps)
                    results = []
                    for seed in range(seeds):
                        fit_field(project, chosen, "cpu", seed)
                        results.append([*judge(project, scene, chosen), 100 * order(project, scene, pairs)])
                without = without or results
                mean = dict(zip(MEASURED, np.mean(results, 0).tolist(), strict=True))
                yield {"scene": name, "method": method, "prior": prior, **mean, **found}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--scene", choices=SCENES, action="append")
    parser.add_argument("--method", action="append")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--all", action="store_true", help="fit with priors of weight 0 too")
    add_settings(parser)
    asked = parser.parse_args()
    methods = asked.method or ["cadex", "omnimotion"]
    settings = {method: settings_of(asked, {"fit.method": method}, asked.preset) for method in methods}
    report = Report(asked.json)
    table = report.table("priors", COLUMNS, names=3)
    for name in asked.scene or SCENES:
        for row in run(name, methods, settings, asked.seeds, asked.all):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
