"""Where is visibility wrong, and which cue is right? Uses the fits that `omnitrack eval --work WORK` left.

    python tests/benchmarks/visibility.py tapvid_davis.pkl WORK [--videos A,B] [--set features.extractor=xfeat ...]
        [--json FILE]

The visibility of every query's track is evaluated at the same fused positions: by the field's depth, by the chained
flow, by appearance, and by rules that combine them. Precision is the share of truly visible points among those called
visible, recall the share of visible points that are called visible; both are over all videos together, OA and AJ are
means over the videos. With a feature extractor, its features are one more cue. A second table has, for every video, the
kinds of mistakes of the program's rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import Columns, Report, add_settings, add_videos, chosen_videos, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.correspondence.anchors import Anchors
from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.features import NONE, open_extractor
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.track_appearance import TrackAppearance
from omnitrack.evaluation.metrics import score_video
from omnitrack.evaluation.tapvid import Queries, file_stem, pixels_to_raster, sample_queries
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.stages.fit import load_field
from omnitrack.stages.point_tracker import PointTracker

NEAR_PX = 4.0  # at 256 x 256: within it, a position is right
COLUMNS: Columns = {
    "visible where": "{rule}",
    "precision": "{precision:.3f}",
    "recall": "{recall:.3f}",
    "OA": "{accuracy:.1f}",
    "AJ": "{average_jaccard:.1f}",
}
MISTAKES = (
    "occluded, called visible",
    "visible and near, called occluded",
    "visible and far, called occluded",
    "called visible, far",
)
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Estimates:
    """Visibility (N, T) of N queries in T frames by each cue, and positions (N, T, 2)."""

    size: tuple[int, int]
    pixels: NDArray[np.float32]
    field: Bools
    chain: Bools
    patches: Bools
    features: Bools
    rule: Bools


def witnesses(project: Project, queries: Queries, settings: Settings) -> Estimates:
    """Track all queries of a fitted project."""
    size = project.size
    features = _Extracted(project, settings) if settings.features.extractor != NONE else None
    frame_patches = FramePatches(BlurredFrames(project.frame, size))
    patches, only = TrackAppearance(frame_patches, settings.query.alike_threshold), None
    if features is not None:
        only = TrackAppearance(frame_patches, 2.0, FrameFeatures(features.features, size), features.threshold)
    pixels = queries.pixels(size)
    parts: dict[str, list[NDArray]] = defaultdict(list)
    order = np.argsort(queries.frames, kind="stable")
    with FlowStore(project) as flows:
        tracker = PointTracker(project, load_field(project, "cpu"), flows, settings, features)
        for source in np.unique(queries.frames).tolist():
            points = pixels[queries.frames == source, 1:].astype(np.float32)
            known = tracker.estimates(Anchors.of(source, points))
            fused = tracker.fused(known)
            rule = tracker.cues(known, fused).visible
            parts["pixels"].append(fused)
            parts["field"].append(known.field.visible)
            parts["chain"].append(known.chained.visible)
            parts["patches"].append(patches.of(source, points).likeness(fused) > 0)
            parts["features"].append(only.of(source, points).likeness(fused) > 0 if only else np.zeros_like(rule))
            parts["rule"].append(rule)
    back = np.argsort(order)
    return Estimates(size, **{name: np.concatenate(values)[back] for name, values in parts.items()})


class _Extracted:
    """Features of a project's frames, extracted now instead of read from the project."""

    def __init__(self, project: Project, settings: Settings) -> None:
        extractor = open_extractor(settings.features)
        maps = [extractor.extract([project.frame(t)])[0] for t in range(project.num_frames)]
        self.features = maps.__getitem__
        self.threshold = settings.filter.feature_threshold or extractor.threshold


RULES: dict[str, Callable[[Estimates], Bools]] = {
    "always": lambda w: np.ones_like(w.rule),
    "depth of the field": lambda w: w.field,
    "chained flow": lambda w: w.chain,
    "patches": lambda w: w.patches,
    "features": lambda w: w.features,
    "depth or chain": lambda w: w.field | w.chain,
    "depth and chain": lambda w: w.field & w.chain,
    "two of depth, chain, patches": lambda w: w.field.astype(int) + w.chain + w.patches >= 2,
    "all three": lambda w: w.field & w.chain & w.patches,
    "the program's": lambda w: w.rule,
}


def scored(queries: Queries, seen: Estimates, visible: Bools) -> tuple[float, float]:
    """Return AJ and OA in per cent."""
    visible = visible.copy()
    visible[np.arange(len(visible)), queries.frames] = True
    tracks = pixels_to_raster(seen.pixels, seen.size)
    found = score_video(queries.points, queries.occluded, tracks, visible, queries.frames, "strided")
    return 100 * found["average_jaccard"], 100 * found["occlusion_accuracy"]


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("work", type=Path, help="what `omnitrack eval --work` left")
    add_settings(parser)
    arguments = parser.parse_args()
    settings, report = settings_of(arguments), Report(arguments.json)
    counts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(3, np.int64))
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    mistakes = []
    for video in chosen_videos(arguments):
        queries = sample_queries(video.points, video.occluded, "strided")
        seen = witnesses(Project(arguments.work / file_stem(video.name)), queries, settings)
        asked = np.ones_like(queries.occluded)
        asked[np.arange(len(asked)), queries.frames] = False
        truth = ~queries.occluded
        for name, rule in RULES.items():
            visible = rule(seen)
            counts[name] += [(part & asked).sum() for part in (truth & visible, visible, truth)]
            scores[name].append(scored(queries, seen, visible))
        truly = queries.points * 256
        near = np.linalg.norm(pixels_to_raster(seen.pixels, seen.size) * 256 - truly, axis=-1) < NEAR_PX
        kinds = (~truth & seen.rule, truth & ~seen.rule & near, truth & ~seen.rule & ~near, truth & seen.rule & ~near)
        shares = [100 * float((kind & asked).sum() / asked.sum()) for kind in kinds]
        mistakes.append({"video": video.name, **dict(zip(MISTAKES, shares, strict=True))})
    table = report.table("rules", COLUMNS)
    for name, (right, called, true) in counts.items():
        jaccard, accuracy = np.mean(scores[name], 0).tolist()
        found = {"precision": right / max(1, called), "recall": right / true}
        table.add({"rule": name, **found, "accuracy": accuracy, "average_jaccard": jaccard})
    print("\nMistakes of the program's rule, per cent of all frames of all tracks:\n")
    table = report.table("mistakes", {"video": "{video}", **{kind: f"{{{kind}:.1f}}" for kind in MISTAKES}})
    for row in mistakes:
        table.add(row)
    report.write()


if __name__ == "__main__":
    main()
