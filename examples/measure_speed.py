"""How fast an object moves: the speed of the points inside a mask, in pixels per second, as CSV.

    python examples/measure_speed.py my-project cell.png@0 speed.csv

The project must be fitted (`omnitrack run clip.mp4`, or init, flow, filter, fit). The mask marks the object in one
frame. A row of the output is the step from one frame to the next, over the points that are visible in both:
`frame,seconds,points,median_px_per_second,lower_quartile,upper_quartile`; numbers stay empty where no point is.
Pixels are those of the original video: multiply by your own scale (micrometres per pixel) for a physical speed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import omnitrack
from omnitrack import Tracks

HEADER = ("frame", "seconds", "points", "median_px_per_second", "lower_quartile", "upper_quartile")


def speeds(tracks: Tracks) -> NDArray[np.float64]:
    """(N, T - 1) pixels per second between neighbouring frames, NaN where a point is hidden in either of them."""
    seconds = np.diff(tracks.frames) / tracks.fps
    distance = np.linalg.norm(np.diff(tracks.tracks.astype(np.float64), axis=1), axis=-1)
    seen = tracks.visible[:, 1:] & tracks.visible[:, :-1]
    return np.where(seen, distance / seconds, np.nan)


def summary(tracks: Tracks) -> list[list[object]]:
    """One row of `HEADER` per step; its time is the middle of the step."""
    rows: list[list[object]] = []
    middle = (tracks.frames[1:] + tracks.frames[:-1]) / 2 / tracks.fps
    for frame, seconds, speed in zip(tracks.frames, middle, speeds(tracks).T, strict=False):
        seen = speed[~np.isnan(speed)]
        numbers = [f"{np.percentile(seen, share):.4f}" if len(seen) else "" for share in (50, 25, 75)]
        rows.append([int(frame), f"{seconds:.4f}", len(seen), *numbers])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of the points inside a mask, in pixels per second.")
    parser.add_argument("project", type=Path)
    parser.add_argument("mask", metavar="MASK.png@T")
    parser.add_argument("output", type=Path, help=".csv")
    parser.add_argument("--spacing", type=int, default=4, help="take every n-th pixel of the mask")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    clip = omnitrack.open(given.project, device=given.device)
    tracks = clip.query(clip.queries(masks=[given.mask], mask_spacing=given.spacing))
    with given.output.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(HEADER)
        writer.writerows(summary(tracks))


if __name__ == "__main__":
    main()
