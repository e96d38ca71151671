"""Track points through a video with the Python API: each command of omnitrack is one method.

    python examples/track_points.py clip.mp4 tracks.npz 320,180@0 100.5,64@12

A query is X,Y@T: pixel (x, y) of the video, centres at integers, in frame T. The result is a `Tracks`: `tracks`
(N, T, 2) pixels of the video and `visible`, `confidence` and `depth` (N, T), saved under these names.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import omnitrack
from omnitrack import Progress, Task, Tracks, output_format, save_tracks


class Announce(Progress):
    """One line per piece of work; override `Task.advance` too for a progress bar of your own."""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        print(f"{name}: {total - done} {unit}")
        return Task()


def track(video: Path, root: Path, points: list[str], settings: Mapping[str, object], device: str = "auto") -> Tracks:
    """Track `points` (texts X,Y@T) through `video`; the project directory `root` keeps what was computed."""
    if not root.exists():
        omnitrack.init(video, root, settings)
    clip = omnitrack.open(root, settings, device, progress=Announce())
    queries = clip.queries(points)  # before the long work, so that a typo shows at once
    clip.flow()  # skips pairs that exist
    clip.filter()
    clip.fit()
    return clip.query(queries)


def main() -> None:
    parser = argparse.ArgumentParser(description="Track points through a video.")
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path, help=".npz, .csv, .json or .h5")
    parser.add_argument("points", nargs="+", metavar="X,Y@T")
    parser.add_argument("--project", type=Path, help="directory for what is computed (default: beside the output)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting: fit.steps=500")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    output_format(given.output)  # an unknown suffix is an error now, not after the work
    root = given.project or given.output.with_suffix(".project")
    tracks = track(given.video, root, given.points, dict(text.split("=", 1) for text in given.set), given.device)
    save_tracks(tracks, given.output)
    for query, path, visible in zip(tracks.queries, tracks.tracks, tracks.visible, strict=True):
        print(f"{query.tolist()} -> {path[-1].round(1).tolist()}, visible in {visible.sum()} of {len(visible)} frames")


if __name__ == "__main__":
    main()
