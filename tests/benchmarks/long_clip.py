"""Does a clip ten times as long take more memory, and are places that come back followed?

    python tests/benchmarks/long_clip.py [--frames 75,150,300,600] [--pairs keyframe] [--size 128x96] [--steps 200]
        [--set KEY=VALUE] [--work DIR] [--json FILE]

A camera pans over a wide place and back, 75 frames each way, while a disc wanders through the view
(`omnitrack.synthetic.panorama_scene`; frames are made one by one, so that no stage is handed the whole clip). Each clip
goes through init, flow, filter, fit and query, each stage in a process of its own, whose peak of resident memory is
read from the system at its end. The bounds (`memory.max_gb`, `fit.correspondences`) are set so low that clips of this
size reach them. With `--work` clips stay there, and what an earlier run measured of a stage is not measured again: 32
to 4,096 frames are a night. Positions are judged in per cent, on points of four frames in all other frames: most of
them leave the view and come back.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import Columns, Report, TableRow, add_settings, parser_of, settings_of

# Nothing large at the top: a process inherits the peak of the one that starts it.

STAGES = ("init", "flow", "filter", "fit", "query")
QUERY_FRAMES, QUERY_POINTS = 4, 16
COLUMNS: Columns = {
    "frames": "{frames}",
    "pairs (T log2 T)": "{pairs} ({log:.0f})",
    "targets": "{targets:.1f}",
    **{f"{stage} s, MB": f"{{{stage}_s:.1f}}, {{{stage}_peak:.0f}}" for stage in STAGES},
    "disk MB: frames, flow, filtered, checkpoint": (
        "{frames_mb:.1f}, {flow_mb:.1f}, {filtered_mb:.1f}, {checkpoint_mb:.1f}"
    ),
    "AJ": "{aj:.1f}",
    "delta": "{delta:.1f}",
    "seen again": "{back:.1f}",
}


def bounded(asked: argparse.Namespace) -> Any:
    """Settings whose bounds on memory a clip of this size reaches."""
    fixed = {
        "flow.pairs": asked.pairs,
        "flow.workers": 1,
        "filter.grid_points": 800,
        "filter.window": 30,
        "memory.max_gb": 1.0,
        "fit.correspondences": 4_000_000,
        "fit.steps": asked.steps,
    }
    return settings_of(asked, fixed)


def run_stage(stage: str, root: Path, asked: argparse.Namespace, frames: int) -> dict[str, Any]:
    """One stage in this process; what there is to say of it beside time and memory."""
    from omnitrack.project.filtered import filtered_file
    from omnitrack.project.project import Project
    from omnitrack.project.store import flow_file
    from omnitrack.stages.filter import filter_flow
    from omnitrack.stages.fit import fit_field
    from omnitrack.stages.flow import compute_flow
    from omnitrack.stages.init import init_from_frames
    from omnitrack.synthetic import panorama_scene

    width, height = (int(side) for side in asked.size.split("x"))
    scene, settings = panorama_scene((width, height), frames), bounded(asked)
    if stage == "init":
        stream: Iterator[Any] = (scene.frame(t) for t in range(frames))
        init_from_frames(stream, root, settings, 24.0, "panorama")
        return {}
    project = Project(root)
    if stage == "flow":
        return {"pairs": compute_flow(project, settings).pairs}
    if stage == "filter":
        report = filter_flow(project, settings)
        sizes = {"flow_mb": stored_mb(flow_file(project)), "filtered_mb": stored_mb(filtered_file(project))}
        return {"targets": report.pairs / report.sources, **sizes}
    if stage == "fit":
        fit_field(project, settings, "cpu")
        return {"checkpoint_mb": sum(path.stat().st_size for path in project.root.rglob("*.pt")) / 1e6}
    return judge(project, scene, settings)


def stored_mb(product: Any) -> float:
    """What the arrays of a product take on disk."""
    import h5py

    sizes: list[int] = []
    with product.open() as file:
        file.visititems(
            lambda _, item: sizes.append(item.id.get_storage_size()) if isinstance(item, h5py.Dataset) else None
        )
    return sum(sizes) / 1e6


def judge(project: Any, scene: Any, settings: Any) -> dict[str, float]:
    import numpy as np

    from omnitrack.evaluation.metrics import score_video
    from omnitrack.evaluation.tapvid import pixels_to_raster
    from omnitrack.stages.query import query_tracks

    rng = np.random.default_rng(0)
    times = np.linspace(0, scene.num_frames - 1, QUERY_FRAMES).round().repeat(QUERY_POINTS)
    places = rng.uniform(0.05, 0.95, (len(times), 2)) * scene.size
    queries = np.column_stack([times, places])
    truth, seen = scene.tracks(queries)
    begin = time.perf_counter()
    answer = query_tracks(project, queries, settings, device="cpu")
    seconds = time.perf_counter() - begin
    raster = [pixels_to_raster(pixels, scene.size) for pixels in (truth, answer.tracks)]
    metrics = score_video(raster[0], ~seen, raster[1], answer.visible, times.astype(int), "strided")
    back = seen & (np.abs(np.arange(scene.num_frames) - times[:, None]) > 75)
    error = np.linalg.norm((answer.tracks - truth) * (256 / np.array(scene.size)), axis=-1)
    return {
        "aj": 100 * metrics["average_jaccard"],
        "delta": 100 * metrics["average_pts_within_thresh"],
        "back": 100 * float((answer.visible & (error < 4))[back].mean()) if back.any() else math.nan,
        "query_seconds": seconds,
    }


def measure(frames: int, work: Path | None) -> TableRow:
    """All stages of one clip, each in a process of its own; those that are measured already are not run again."""
    row: dict[str, Any] = {"frames": frames, "log": frames * math.log2(frames)}
    with tempfile.TemporaryDirectory() as temporary:
        folder = (work or Path(temporary)) / str(frames)
        folder.mkdir(parents=True, exist_ok=True)
        for stage in STAGES:
            measured = folder / f"{stage}.json"
            if not measured.exists():
                words = [*sys.argv[1:], "--stage", stage, "--root", str(folder / "clip"), "--frames", str(frames)]
                done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
                if done.returncode:
                    raise SystemExit(done.stderr)
                measured.write_text(done.stdout)
            row.update(json.loads(measured.read_text()))
        row["frames_mb"] = sum(path.stat().st_size for path in folder.rglob("*.png")) / 1e6
    return row


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--frames", default="75,150,300,600")
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--pairs", default="keyframe")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep clips and measurements here")
    add_settings(parser)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage is None:
        report = Report(asked.json)
        table = report.table("clips", COLUMNS, names=0)
        for frames in asked.frames.split(","):
            table.add(measure(int(frames), asked.work))
        report.write()
        return
    begin = time.perf_counter()
    found = run_stage(asked.stage, Path(asked.root), asked, int(asked.frames))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**found, f"{asked.stage}_s": time.perf_counter() - begin, f"{asked.stage}_peak": peak}))


if __name__ == "__main__":
    main()
