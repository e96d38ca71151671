"""Could a better search find what the flow loses? Uses the projects that `omnitrack eval --work WORK` left.

    python tests/benchmarks/lost_points.py tapvid_davis.pkl WORK [--videos A,B] [--json FILE]

Every annotated point is moved along the flow between two frames in both of which it is visible. It is lost if it lands
more than 4 px from its true position. Of the lost points, the table has the share that passes the cycle check, so that
no later stage notices; and the share whose patch is more similar to the true position (the best within 1 px) than to
the position that the flow gives, so that a thorough search by appearance could find it. Pixels at 256 x 256.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import Columns, Report, TableRow, add_videos, chosen_videos, parser_of
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.consistency import take_hop
from omnitrack.evaluation.tapvid import TapvidVideo, file_stem, raster_to_pixels
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.units import raster_scale

GAPS = (1, 2, 4, 8)
LOST_PX = 4.0
AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=2)), np.float32)  # tolerance around an annotated click
Bools = NDArray[np.bool_]
COLUMNS: Columns = {
    "video": "{video}",
    **{
        f"gap {gap}: lost, consistent, truth more alike": (lambda row, gap=gap: shown(row[f"gap {gap}"]))  # type: ignore[misc]
        for gap in GAPS
    },
}


def shown(shares: tuple[float, ...]) -> str:
    """Format shares in per cent; "0" if no point is lost."""
    return ", ".join(f"{share:.0f}" if share >= 2 else f"{share:.1f}" for share in shares) or "0"


def hops(video: TapvidVideo, project: Project) -> Iterator[tuple[int, tuple[Bools, Bools, Bools]]]:
    """Yield the gap of each pair and, of its points: lost, consistent, more similar at the true position."""
    scale, pixels = raster_scale(project.size), raster_to_pixels(video.points, project.size).astype(np.float32)
    patches = FramePatches(BlurredFrames(project.frame, project.size))
    with FlowStore(project) as flows:
        threshold = scale * Settings().filter.cycle_threshold_px
        for source, target in flows.pairs():
            if abs(target - source) not in GAPS or not flows.has(target, source):
                continue
            rows = np.flatnonzero(~video.occluded[:, source] & ~video.occluded[:, target])
            start, truth = pixels[rows, source], pixels[rows, target]
            hop = take_hop(flows, source, target, start)
            look = patches.patches(source, start)
            there = [patches.similarity(look, target, truth + scale * step) for step in AROUND]
            found = patches.similarity(look, target, hop.pixels)
            lost = np.linalg.norm(hop.pixels - truth, axis=-1) > LOST_PX * scale
            yield abs(target - source), (lost, hop.cycle_error < threshold, np.max(there, 0) > found)


def lost_at(gap: int, found: list[tuple[int, tuple[Bools, Bools, Bools]]]) -> tuple[float, ...]:
    """Return the per cent lost over a gap and, of the lost, consistent and more similar at the true position."""
    of_gap = [judged for distance, judged in found if distance == gap]
    lost, consistent, alike = (np.concatenate(values) for values in zip(*of_gap, strict=True))
    if not lost.any():
        return ()
    return tuple(100 * float(np.mean(values)) for values in (lost, consistent[lost], alike[lost]))


def main() -> None:
    parser = parser_of(__doc__)
    add_videos(parser)
    parser.add_argument("work", type=Path, help="what eval --work was given")
    arguments = parser.parse_args()
    report = Report(arguments.json)
    table = report.table("lost", COLUMNS, names=len(COLUMNS))
    for video in chosen_videos(arguments):
        found = list(hops(video, Project(arguments.work / file_stem(video.name))))
        row: TableRow = {f"gap {gap}": lost_at(gap, found) for gap in GAPS}
        table.add({"video": video.name, **row})
    report.write()


if __name__ == "__main__":
    main()
