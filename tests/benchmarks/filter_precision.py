"""Which checks tell right correspondences from wrong ones?

Chains from every visible annotated point of every fifth frame to all other frames, judged by the annotations of a
TAP-Vid dataset: a correspondence is right where the truth is visible and within 4 px, at 256 x 256. Precision is the
share of right ones among those a check lets through, recall the share of all right ones that it lets through.

    python tests/benchmarks/filter_precision.py tapvid_davis.pkl
    python tests/benchmarks/filter_precision.py tapvid_davis.pkl --videos davis01,davis10 --json
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.chaining import chain, outward
from omnitrack.correspondence.consistency import fitting_threshold
from omnitrack.evaluation.tapvid import TapvidVideo, load_tapvid, sample_queries
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages.filter import APPEARANCE_FROM_GAP
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames

RIGHT_PX = 4.0
THRESHOLDS = (0.0, 0.2, 0.3, 0.5, 0.7)
SIZE = (256, 256)
Bools = NDArray[np.bool_]


def judged(video: TapvidVideo, root: Path) -> dict[str, tuple[int, int, int]]:
    """Per check: right correspondences let through, all let through, all right ones."""
    settings = replace(Settings(), init=InitSettings(max_size=0))
    frames = [cv2.resize(frame, SIZE, interpolation=cv2.INTER_AREA) for frame in video.frames]
    init_from_frames(frames, root, settings, 24.0, video.name)
    project = Project(root)
    compute_flow(project, settings)
    queries = sample_queries(video.points, video.occluded, "strided")
    passed: dict[str, list[Bools]] = defaultdict(list)
    right: list[Bools] = []
    with FlowStore(project) as flows:
        threshold = fitting_threshold(flows, project.num_frames, settings.filter.cycle_threshold_px)
        appearance = FramePatches(project.frame, SIZE)
        for source in np.unique(queries.frames):
            rows = np.flatnonzero(queries.frames == source)
            pixels = queries.pixels(SIZE)[rows, 1:].astype(np.float32)
            patches = appearance.patches(int(source), pixels)
            for targets in outward(int(source), project.num_frames):
                for target, state in chain(flows, int(source), pixels, targets, settings.filter.gaps, threshold):
                    truth = queries.points[rows, target] * 256
                    near = np.linalg.norm(state.pixels + 0.5 - truth, axis=-1) < RIGHT_PX
                    right.append(near & ~queries.occluded[rows, target])
                    passed["everything"].append(np.ones(len(rows), bool))
                    passed["cycle"].append(state.visible)
                    looks = appearance.similarity(patches, target, state.pixels)
                    for least in THRESHOLDS:
                        alike = (looks >= least) | (abs(target - source) < APPEARANCE_FROM_GAP)
                        passed[f"cycle, looks >= {least}"].append(state.visible & alike)
    good = np.concatenate(right)
    checks = {name: np.concatenate(parts) for name, parts in passed.items()}
    return {name: (int((good & ok).sum()), int(ok.sum()), int(good.sum())) for name, ok in checks.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--videos", help="names, separated by commas")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    totals: dict[str, NDArray[np.int64]] = {}
    for video in load_tapvid(arguments.dataset, arguments.videos.split(",") if arguments.videos else None):
        with TemporaryDirectory() as root:
            for name, counts in judged(video, Path(root) / "project").items():
                totals[name] = totals.get(name, np.zeros(3, np.int64)) + counts
    table = {name: {"precision": hit / let, "recall": hit / all_} for name, (hit, let, all_) in totals.items()}
    if arguments.json:
        print(json.dumps(table, indent=2))
        return
    print("| check | precision | recall |\n|---|---|---|")
    for name, row in table.items():
        print(f"| {name} | {row['precision']:.3f} | {row['recall']:.3f} |")


if __name__ == "__main__":
    main()
