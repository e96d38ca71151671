"""Measure the speed of a cell: from a TIFF stack to micrometres per second, and to napari and TrackMate.

    python examples/cell_speed.py stack.tif cell.png@0 cell --um-per-px 0.325 --fps 0.5

The mask marks the cell in one frame. The frame rate is ImageJ's or OME's, or --fps. `cell.csv` has one row
per frame, over the marked points that are visible: their number, their median position in um, and their speed in um/s,
from their median velocity, because a few may slip. `cell-napari.csv` and `cell.xml` have all visible points in um.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import omnitrack
from omnitrack import Tracks


def speeds(tracks: Tracks, um_per_px: float) -> NDArray[np.float64]:
    """Return (T,) um/s between the previous and the next frame, over points visible in both; NaN without any."""
    last = np.minimum(np.arange(1, len(tracks.frames) + 1), len(tracks.frames) - 1)
    first = np.maximum(np.arange(-1, len(tracks.frames) - 1), 0)
    moved = (tracks.tracks[:, last] - tracks.tracks[:, first]).astype(np.float64) * um_per_px
    moved[~(tracks.visible[:, last] & tracks.visible[:, first])] = np.nan
    velocity = np.nanmedian(moved, axis=0) * tracks.fps
    return np.asarray(np.linalg.norm(velocity, axis=-1) / (tracks.frames[last] - tracks.frames[first]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stack")
    parser.add_argument("mask", metavar="MASK.png@T")
    parser.add_argument("output", type=Path, help="what the files are called, without a suffix")
    parser.add_argument("--um-per-px", type=float, required=True)
    parser.add_argument("--fps", type=float, default=0.0, help="frames a second (default: as the stack says)")
    parser.add_argument("--steps", type=int, default=1200, help="of the fit")
    given = parser.parse_args()
    root, settings = given.output.with_suffix(".project"), {"init.fps": given.fps, "fit.steps": given.steps}
    clip = omnitrack.init(given.stack, root, settings)
    clip.flow(), clip.filter(), clip.fit()
    tracks = clip.query(clip.queries(masks=[given.mask], mask_spacing=3))
    speed = speeds(tracks, given.um_per_px)
    with given.output.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("frame", "seconds", "points", "x_um", "y_um", "um_per_s"))
        for column, (frame, seen) in enumerate(zip(tracks.frames, tracks.visible.T, strict=True)):
            x, y = np.median(tracks.tracks[seen, column], axis=0) * given.um_per_px if seen.any() else (np.nan, np.nan)
            writer.writerow((frame, frame / tracks.fps, seen.sum(), round(x, 5), round(y, 5), round(speed[column], 5)))
    for name, format in (("-napari.csv", "napari"), (".xml", "trackmate")):
        clip.export(f"{given.output}{name}", format, tracks, scale=given.um_per_px, unit="um", hidden="drop")
    print(f"{np.nanmedian(speed):.5f} um/s")


if __name__ == "__main__":
    main()
