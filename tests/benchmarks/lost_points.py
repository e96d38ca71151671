"""Could a better search find what the flow loses? Of the projects that `omnitrack eval --work WORK` left.

    python tests/benchmarks/lost_points.py tapvid_davis.pkl WORK [--videos A,B]

Every annotated point is moved along the flow between two frames in both of which it is visible. Where it lands more
than 4 px from its true place it is lost. Of the lost: the share that passes the cycle check, so that no later stage
knows; and the share whose patch looks more like the true place (the best within 1 px) than like where the flow led, so
that a search by looks, however thorough, could tell. Pixels at 256 x 256.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.consistency import take_hop
from omnitrack.evaluation.tapvid import TapvidVideo, file_stem, load_tapvid, raster_to_pixels
from omnitrack.project.project import Project
from omnitrack.project.store import FlowStore
from omnitrack.settings import Settings
from omnitrack.units import raster_scale

GAPS = (1, 2, 4, 8)
LOST_PX = 4.0
AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=2)), np.float32)  # of an annotation: it is a click
Bools = NDArray[np.bool_]


def hops(video: TapvidVideo, project: Project) -> Iterator[tuple[int, tuple[Bools, Bools, Bools]]]:
    """Of each pair of frames the gap; of its points whether lost, consistent, and more alike at the truth."""
    scale, pixels = raster_scale(project.size), raster_to_pixels(video.points, project.size).astype(np.float32)
    patches = FramePatches(project.frame, project.size)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path, help="what eval --work was given")
    parser.add_argument("--videos", default="", help="names, with commas between; all where not given")
    arguments = parser.parse_args()
    wanted = arguments.videos.split(",") if arguments.videos else None
    titles = [f"gap {gap}: lost, consistent, truth more alike" for gap in GAPS]
    print(f"| video | {' | '.join(titles)} |\n|---|{'---|' * len(GAPS)}")
    for video in load_tapvid(arguments.dataset, wanted):
        project = Project(arguments.work / file_stem(video.name))
        found = list(hops(video, project))
        cells = []
        for gap in GAPS:
            of_gap = [judged for distance, judged in found if distance == gap]
            lost, consistent, alike = (np.concatenate(values) for values in zip(*of_gap, strict=True))
            shares = (100 * np.mean(values) for values in (lost, consistent[lost], alike[lost])) if lost.any() else ()
            cells.append(", ".join(f"{share:.0f}" if share >= 2 else f"{share:.1f}" for share in shares) or "0")
        print(f"| {video.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
