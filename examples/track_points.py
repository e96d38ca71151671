"""Track points through a video with the Python API: each command of omnitrack is one function.

    python examples/track_points.py clip.mp4 tracks.npz 320,180@0 100.5,64@12

A query is X,Y@T: pixel (x, y) of the video, centres at integers, in frame T. The answer is a `Tracks`: `tracks`
(N, T, 2) pixels of the video and `visible`, `confidence` and `depth` (N, T), saved under these names.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from omnitrack.config import load_settings
from omnitrack.progress import Progress, Task
from omnitrack.project.project import Project
from omnitrack.project.tracks_io import save_tracks
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.fit import fit_field
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_project
from omnitrack.stages.query import query_tracks
from omnitrack.stages.query_points import build_queries
from omnitrack.tracks import Tracks


class Announce(Progress):
    """One line per piece of work; override `Task.advance` too for a progress bar of your own."""

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        print(f"{name}: {total - done} {unit}")
        return Task()


def track(video: Path, root: Path, points: list[str], steps: int | None = None, device: str = "auto") -> Tracks:
    """Tracks of `points` (texts X,Y@T) through `video`; the project directory `root` keeps what was computed."""
    settings = load_settings(overrides={"fit.steps": steps})  # None keeps the default
    progress = Announce()
    if not root.exists():
        init_project(video, root, settings, progress)
    project = Project(root)
    queries = build_queries(project, points)  # before the long work, so that a typing error shows at once
    compute_flow(project, settings, progress)  # skips the pairs that are there
    filter_flow(project, settings, progress)
    fit_field(project, settings, device=device, progress=progress)
    return query_tracks(project, queries, settings, device=device, progress=progress)


def main() -> None:
    parser = argparse.ArgumentParser(description="Track points through a video.")
    parser.add_argument("video", type=Path)
    parser.add_argument("output", type=Path, help=".npz, .csv, .json or .h5")
    parser.add_argument("points", nargs="+", metavar="X,Y@T")
    parser.add_argument("--project", type=Path, help="directory for what is computed (default: beside the output)")
    parser.add_argument("--steps", type=int, help="optimisation steps")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    root = given.project or given.output.with_suffix(".project")
    tracks = track(given.video, root, given.points, given.steps, given.device)
    save_tracks(tracks, given.output)
    for query, path, visible in zip(tracks.queries, tracks.tracks, tracks.visible, strict=True):
        print(f"{query.tolist()} -> {path[-1].round(1).tolist()}, visible in {visible.sum()} of {len(visible)} frames")


if __name__ == "__main__":
    main()
