"""Which checks separate right correspondences from wrong ones?

From every visible annotated point of every fifth frame to other frames, once with the measured flow of single pairs
("flow") and once with chains of it to all frames ("chain"), evaluated with the annotations of a TAP-Vid dataset: a
correspondence is right if the true position is visible and within 4 px at 256 x 256. Precision is the share of right
correspondences among those that pass a check, recall the share of all right correspondences that pass. Appearance, by
patches ("patch") and by learned features, is compared from three frames on. F is the harmonic mean of both.

    python tests/benchmarks/filter_precision.py tapvid_davis.pkl
    python tests/benchmarks/filter_precision.py tapvid_davis.pkl --videos davis01,davis10 --json FILE
    python tests/benchmarks/filter_precision.py tapvid_davis.pkl --set features.extractor=xfeat \\
        --set features.weights=xfeat.onnx --set features.side=480
    python tests/benchmarks/filter_precision.py tapvid_davis.pkl --set flow.estimator=NAME --work work
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from common import Report, add_settings, add_videos, chosen_videos, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chaining import chain, outward
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.features import NONE, open_extractor
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.raster import Array
from omnitrack.evaluation.tapvid import TapvidVideo, sample_queries
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages.filter import APPEARANCE_FROM_GAP
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames

RIGHT_PX = 4.0
PATCH_THRESHOLDS = (0.0, 0.2, 0.25, 0.3, 0.5, 0.7)
FEATURE_THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)
SIZE = (256, 256)
COLUMNS = {
    "source": "{source}",
    "check": "{check}",
    "precision": "{precision:.3f}",
    "recall": "{recall:.3f}",
    "F": "{f:.3f}",
}
Bools = NDArray[np.bool_]
Step = tuple[int, Array, Bools]  # target frame, pixels in it (P, 2), whether they pass the cycle check (P,)


def make_project(video: TapvidVideo, root: Path, settings: Settings) -> Project:
    """Return a project of the video at `SIZE`, with its flow; existing products at `root` are kept."""
    if not root.exists():
        frames = [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for frame in video.frames]
        init_from_frames(frames, root, replace(settings, init=InitSettings(max_size=0)), 24.0, video.name)
    project = Project(root)
    compute_flow(project, settings)
    return project


def steps(flows: FlowStore, source: int, pixels: Array, settings: Settings, frames: int) -> Iterator[tuple[str, Step]]:
    """Yield the positions of points of a source frame in other frames, with single flows and with chains."""
    threshold = settings.filter.cycle_threshold_px
    for target in range(frames):
        if flows.has(source, target) and flows.has(target, source):
            hop = take_hop(flows, source, target, pixels)
            yield "flow", (target, hop.pixels, (hop.cycle_error < threshold) & hop.inside)
    for targets in outward(source, range(frames)):
        for target, state in chain(flows, source, pixels, targets, settings.filter.gaps, threshold):
            yield "chain", (target, state.pixels, state.visible)


def judged(video: TapvidVideo, project: Project, settings: Settings) -> dict[str, NDArray[np.int64]]:
    """Return per check the numbers of right correspondences that pass, of all that pass, and of all right ones."""
    queries = sample_queries(video.points, video.occluded, "strided")
    patches = FramePatches(BlurredFrames(project.frame, SIZE))
    features = None
    if settings.features.extractor != NONE:
        extractor = open_extractor(settings.features)
        maps = [extractor.extract([project.frame(t)])[0] for t in range(project.num_frames)]
        features = FrameFeatures(maps.__getitem__, SIZE)
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, np.int64))
    with FlowStore(project) as flows:
        for source in np.unique(queries.frames).tolist():
            rows = np.flatnonzero(queries.frames == source)
            pixels = queries.pixels(SIZE)[rows, 1:].astype(np.float32)
            patch = patches.patches(source, pixels)
            feature = None if features is None else features.at(source, pixels)
            for kind, (target, landed, cycle) in steps(flows, source, pixels, settings, project.num_frames):
                near = np.linalg.norm(landed + 0.5 - queries.points[rows, target] * 256, axis=-1) < RIGHT_PX
                right = near & ~queries.occluded[rows, target]
                looks = {"patch": patches.similarity(patch, target, landed)}
                if features is not None and feature is not None:
                    looks[settings.features.extractor] = features.similarity(feature, target, landed)
                close = abs(target - source) < APPEARANCE_FROM_GAP
                for name, passed in checks(cycle, looks, close, settings).items():
                    counts[f"{kind} | {name}"] += (right & passed).sum(), passed.sum(), right.sum()
    return counts


def checks(cycle: Bools, looks: dict[str, Array], close: bool, settings: Settings) -> dict[str, Bools]:
    """Return what passes each check; `looks` are similarities by cue, ignored if the frames are `close`."""
    passed = {"everything": np.ones_like(cycle), "cycle": cycle}
    usual = settings.filter.appearance_threshold
    for witness, values in looks.items():
        for least in PATCH_THRESHOLDS if witness == "patch" else FEATURE_THRESHOLDS:
            alike = cycle & ((values >= least) | close)
            passed[f"cycle, {witness} >= {least}"] = alike
            if witness != "patch":
                for patch in (0.0, usual):  # the filter's own rule, in which patches of 0 have no weight; and both
                    both = alike & ((looks["patch"] >= patch) | close)
                    passed[f"cycle, patch >= {patch}, {witness} >= {least}"] = both
    return passed


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("--work", type=Path, help="directory that keeps the projects and their flow")
    add_settings(parser)
    arguments = parser.parse_args()
    settings, report = settings_of(arguments), Report(arguments.json)
    totals: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, np.int64))
    for video in chosen_videos(arguments):
        with TemporaryDirectory() as temporary:
            project = make_project(video, (arguments.work or Path(temporary)) / video.name, settings)
            for name, counts in judged(video, project, settings).items():
                totals[name] += counts
    table = report.table("checks", COLUMNS, names=2)
    for name, (hit, let, all_) in sorted(totals.items(), key=lambda item: item[0].split(" | ")[0], reverse=True):
        source, check = name.split(" | ")
        precision, recall = hit / let, hit / all_
        harmonic = 2 / (1 / precision + 1 / recall)
        table.add({"source": source, "check": check, "precision": precision, "recall": recall, "f": harmonic})
    report.write()


if __name__ == "__main__":
    main()
