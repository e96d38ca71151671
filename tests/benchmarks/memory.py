"""Does every stage stay within `--max-memory`, at 480p, 1080p and 4K?

    python tests/benchmarks/memory.py [--sizes 854x480,1920x1080,3840x2160] [--frames 8] [--budgets 2,4]
        [--steps 30] [--set KEY=VALUE] [--json FILE]

A camera pans over a wide place (`omnitrack.synthetic.panorama_scene`). Frames are written as images; each stage is a
command in its own process with that budget (0: the default), whose peak of resident memory is read from the system when
it ends. `init.max_size=0` asks for the video's own size; the table shows the working size that the budget allows.
Accuracy is the share of positions within 4 px at 256 x 256, for a grid of points of frame 0, where they are visible.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import STAGES, Columns, Report, TableRow, add_settings, measured_process, parser_of

# No large imports at the top: a process inherits the peak memory of its parent.

COLUMNS: Columns = {
    "video": "{video}",
    "budget GB": "{budget:g}",
    "working size": "{size}",
    **{f"{stage} MB": f"{{{stage}_peak:.0f}}" for stage in STAGES},
    "largest / budget": "{share:.2f}",
    "seconds": "{seconds:.0f}",
    "within 4 px": "{right:.1f}",
}


def frames_of(folder: Path, size: str, frames: int) -> Path:
    """Return the folder of the frames; a separate process writes them, so that later processes inherit no peak."""
    if not folder.exists():
        words = ["--write", str(folder), "--sizes", size, "--frames", str(frames)]
        subprocess.run([sys.executable, __file__, *words], check=True)
    return folder


def write_frames(folder: Path, size: str, frames: int) -> None:
    """Write the frames of a camera's pan."""
    import cv2

    from omnitrack.synthetic import panorama_scene

    width, height = (int(side) for side in size.split("x"))
    scene = panorama_scene((width, height), frames)
    folder.mkdir(parents=True)
    for t in range(frames):
        cv2.imwrite(str(folder / f"{t:04}.png"), scene.frame(t)[..., ::-1])


def judge(root: Path, size: str, frames: int) -> dict[str, Any]:
    import numpy as np

    from omnitrack.project.project import Project
    from omnitrack.synthetic import panorama_scene
    from omnitrack.tracks.files import load_tracks

    width, height = (int(side) for side in size.split("x"))
    scene = panorama_scene((width, height), frames)
    tracks = load_tracks(root / "tracks" / "tracks.npz")
    truth, seen = scene.tracks(tracks.queries)
    error = np.linalg.norm((tracks.tracks - truth) * (256 / np.array(scene.size)), axis=-1)
    return {"right": 100 * float((error < 4)[seen].mean()), "size": "x".join(map(str, Project(root).size))}


def measure(video: str, budget: float, asked: argparse.Namespace, folder: Path) -> TableRow:
    """Measure all stages of one clip, each in its own process."""
    frames, root = frames_of(folder / f"frames-{video}", video, asked.frames), folder / f"{video}-{budget:g}"
    row: dict[str, Any] = {"video": video, "budget": budget, "seconds": time.perf_counter()}
    common = ["--set", f"memory.max_gb={budget}"] if budget else []
    settings = [word for text in asked.set for word in ("--set", text)]
    words = {
        "init": [str(frames), str(root), "--max-size", "0", *settings],
        "flow": [str(root), *settings],
        "filter": [str(root), *settings],
        "fit": [str(root), "--steps", str(asked.steps), *settings],
        "query": [str(root), "--grid", "20@0", *settings],
    }
    for stage in STAGES:
        command = [sys.executable, "-m", "omnitrack", stage, *words[stage], "-q", *common]
        _, row[f"{stage}_peak"] = measured_process(command)
    row["seconds"] = time.perf_counter() - row["seconds"]
    largest = max(row[f"{stage}_peak"] for stage in STAGES) * 2**20
    judged = [sys.executable, __file__, "--judge", str(root), "--sizes", video, "--frames", str(asked.frames)]
    found = json.loads(subprocess.run(judged, capture_output=True, text=True, check=True).stdout)
    return {**row, **found, "share": largest / (budget * 1e9) if budget else float("nan")}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--sizes", default="854x480,1920x1080,3840x2160")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--budgets", default="2,4")
    parser.add_argument("--steps", type=int, default=30)
    add_settings(parser)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--judge", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write_frames(asked.write, asked.sizes, asked.frames)
        return
    if asked.judge:
        print(json.dumps(judge(asked.judge, asked.sizes, asked.frames)))
        return
    report = Report(asked.json)
    table = report.table("stages", COLUMNS, names=1)
    with tempfile.TemporaryDirectory() as name:
        for video in asked.sizes.split(","):
            for budget in map(float, asked.budgets.split(",")):
                table.add(measure(video, budget, asked, Path(name)))
    report.write()


if __name__ == "__main__":
    main()
