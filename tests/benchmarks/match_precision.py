"""Which long-range matches are right, filter by filter?

Features of every frame of a TAP-Vid dataset, at 256 x 256, are matched over ten frames and more. A match is judged by
the nearest annotated point within 6 px of its end in the earlier frame. If that point is visible in the later frame,
the match should have its displacement, and is right if it differs by less than 4 (or 8) px; if the point is occluded,
there should be no match. Errors are those of right matches (within 8 px). A cell at the edge of an object may be judged
by a point on the other side, so that no filter can reach 1.

    python tests/benchmarks/match_precision.py tapvid_davis.pkl --set features.extractor=xfeat \\
        --set features.weights=xfeat.onnx
    python tests/benchmarks/match_precision.py tapvid_davis.pkl --videos davis01 --set features.extractor=dinov2

`--json FILE` also writes the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from common import Columns, Report, add_settings, add_videos, chosen_videos, parser_of, settings_of
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.features import open_extractor
from omnitrack.correspondence.match_limits import calibrated
from omnitrack.correspondence.match_refinement import refine_by_patches
from omnitrack.correspondence.matching import FrameCells, match_cells, prepare_cells
from omnitrack.evaluation.tapvid import TapvidVideo, raster_to_pixels
from omnitrack.settings import MatchSettings, Settings
from omnitrack.stages.evaluate_video import resize_frames

SIZE = (256, 256)
NEAR_PX, RIGHT_PX, ROUGHLY_PX = 6.0, 4.0, 8.0
SOURCE_STEP, TARGET_STEP = 5, 4  # frames between matched sources, and between their targets
COLUMNS: Columns = {
    "filters": "{filters}",
    "matches per pair": "{matches:.0f}",
    "judged": "{judged}",
    "hidden": "{hidden:.3f}",
    "within 4 px": "{right:.3f}",
    "within 8 px": "{roughly:.3f}",
    "median error (px)": "{median:.2f}",
}
Floats = NDArray[np.floating]


def variants(own: MatchSettings) -> dict[str, MatchSettings]:
    """Return the filters added one after the other, all but one, and all with other similarities."""
    open_ = replace(
        own, similarity=1e-6, self_similarity=1.1, local_least=-1.0, local_most=2.0, cycle_cells=9.0, isolation_px=()
    )
    found = {"mutual nearest": replace(open_, patch_steps=0)}
    steps: dict[str, dict[str, object]] = {
        f"similarity > {own.similarity:g}": {"similarity": own.similarity},
        f"self-similarity {own.self_similarity:g}": {"self_similarity": own.self_similarity},
        "local similarity": {"local_least": own.local_least, "local_most": own.local_most},
        f"cycle < {own.cycle_cells:g} cells": {"cycle_cells": own.cycle_cells},
        "isolation": {"isolation_px": own.isolation_px},
        "patches": {"patch_steps": own.patch_steps},
    }
    last = found["mutual nearest"]
    for name, change in steps.items():
        found[f"+ {name}"] = last = replace(last, **change)  # type: ignore[arg-type]
    for name, change in steps.items():
        without = {key: getattr(open_, key) if key != "patch_steps" else 0 for key in change}
        found[f"all but {name}"] = replace(own, **without)  # type: ignore[arg-type]
    for similarity in (0.05, -0.05):
        found[f"all, similarity > {own.similarity - similarity:g}"] = replace(
            own, similarity=own.similarity - similarity
        )
    return found


def judged(video: TapvidVideo, settings: Settings) -> Iterator[tuple[str, int, Floats]]:
    """Yield for each variant and pair: its name, number of matches, error and visibility (J, 2) of the judged ones."""
    frames = resize_frames(video.frames, SIZE)
    extractor = open_extractor(settings.features)
    maps = [torch.from_numpy(extractor.extract([frame])[0]) for frame in frames]
    patches = FramePatches(BlurredFrames(frames.__getitem__, SIZE))
    points, visible = raster_to_pixels(video.points, SIZE), ~video.occluded
    prepared: dict[object, FrameCells] = {}

    def cells(frame: int, own: MatchSettings) -> FrameCells:
        key = frame, own.self_similarity, own.local_least, own.local_most
        if key not in prepared:
            prepared[key] = prepare_cells(maps[frame], own)
        return prepared[key]

    for name, own in variants(calibrated(settings.matching, settings.features.extractor)).items():
        for source in range(0, len(frames), SOURCE_STEP):
            for target in range(source + own.least_gap, len(frames), TARGET_STEP):
                found = match_cells(cells(source, own), cells(target, own), SIZE, own)
                ends = found.source.numpy(), found.target.numpy()
                if own.patch_steps:
                    ends = refine_by_patches(patches, source, target, ends, 1.0, own.patch_steps)
                here = np.flatnonzero(visible[:, source])
                yield name, len(found), judge(ends, points[here][:, [source, target]], visible[here, target])


def judge(ends: tuple[Floats, Floats], points: Floats, visible: NDArray[np.bool_]) -> Floats:
    """Return error and visibility (J, 2) of the matches near one of N points, given in both frames (N, 2, 2)."""
    if not len(points) or not len(ends[0]):
        return np.zeros((0, 2))
    distance = np.linalg.norm(ends[0][:, None] - points[None, :, 0], axis=-1)
    near, point = distance.min(1) < NEAR_PX, distance.argmin(1)
    error = (ends[1] - ends[0]) - (points[point, 1] - points[point, 0])
    return np.stack([np.linalg.norm(error, axis=-1), visible[point]], -1)[near]


def main() -> None:
    """Judge the matches of a dataset and print the table."""
    parser = parser_of(__doc__)
    add_videos(parser)
    add_settings(parser)
    arguments = parser.parse_args()
    settings, report = settings_of(arguments), Report(arguments.json)
    parts: dict[str, list[Floats]] = defaultdict(list)
    matches: dict[str, int] = defaultdict(int)
    for video in chosen_videos(arguments):
        for name, count, errors in judged(video, settings):
            parts[name].append(errors)
            matches[name] += count
    table = report.table("filters", COLUMNS)
    for name, found in parts.items():
        error, seen = np.concatenate(found).T
        hidden, error = float(np.mean(seen == 0)), error[seen > 0]
        row = {"filters": name, "matches": matches[name] / len(found), "judged": len(seen), "hidden": hidden}
        row |= {"right": float(np.mean(error < RIGHT_PX)), "roughly": float(np.mean(error < ROUGHLY_PX))}
        table.add({**row, "median": float(np.median(error[error < ROUGHLY_PX]))})
    report.write()


if __name__ == "__main__":
    main()
