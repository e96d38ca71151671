"""What does a long clip cost, and does one canonical volume lose accuracy?

    python tests/benchmarks/long_clip.py [--frames 75,150,300,600] [--pairs keyframe,log] [--scenes pan,still,travel]
        [--size 128x96] [--steps 200] [--set KEY=VALUE] [--work DIR] [--picture FILE] [--json FILE]

A disc wanders through the view of a camera (`omnitrack.synthetic.panorama_scene`) that pans over a wide place and back,
75 frames each way (`pan`), stays in place (`still`), or moves on and never returns (`travel`). Frames are rendered one
by one, so that no stage receives the whole clip. Each clip goes through init, flow, filter, fit and query, each stage
in its own process, which reports its CPU seconds and its peak of resident memory when it ends. The limits
(`memory.max_gb`, `fit.correspondences`) are so low that clips of this size reach them. With `--work`, clips are kept,
and stages that an earlier run measured are not measured again: 32 to 4,096 frames take a night.

The second table evaluates the tracks, in per cent, on points of four frames in all other frames, beside the field alone
and the chains of the same flow: if one canonical volume loses accuracy with the length of a clip, so does the field,
and with it the fused tracks.
"""

from __future__ import annotations

import argparse
import itertools
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

from common import STAGES, Columns, Report, add_settings, parser_of, settings_of
from growth import draw_growth

# No large imports at the top: a process inherits the peak memory of its parent.

JUDGE = "judge"
QUERY_FRAMES, QUERY_POINTS = 4, 16
SWEEP = 75  # frames of a pan
NAMES: Columns = {"scene": "{scene}", "pairs by": "{by}", "frames": "{frames}"}
COLUMNS: Columns = {
    **NAMES,
    "pairs (T log2 T)": "{pairs} ({log:.0f})",
    "targets": "{targets:.1f}",
    **{f"{stage} CPU s, MB": f"{{{stage}_s:.1f}}, {{{stage}_peak:.0f}}" for stage in STAGES},
    "disk MB: frames, flow, filtered, checkpoint": (
        "{frames_mb:.1f}, {flow_mb:.1f}, {filtered_mb:.1f}, {checkpoint_mb:.1f}"
    ),
}
ACCURACY: Columns = {
    **NAMES,
    "tracker": "{tracker}",
    "AJ": "{aj:.1f}",
    "delta": "{delta:.1f}",
    "OA": "{oa:.1f}",
    "within 4 px, to 75 frames": "{near:.1f}",
    "beyond": "{far:.1f}",
    "seen again": "{back:.1f}",
}


def bounded(asked: argparse.Namespace) -> Any:
    """Return settings whose memory limits a clip of this size reaches."""
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
    """Run one stage in this process; return its measurements other than time and memory."""
    from omnitrack.project.filtered import filtered_file
    from omnitrack.project.project import Project
    from omnitrack.project.store import flow_file
    from omnitrack.stages.filter import filter_flow
    from omnitrack.stages.fit import fit_field
    from omnitrack.stages.flow import compute_flow
    from omnitrack.stages.init import init_from_frames

    scene, settings = scene_of(asked.scenes, asked.size, frames), bounded(asked)
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
    if stage == "query":
        return query(project, scene, settings)
    return {"trackers": judge(project, scene, settings)}


def scene_of(name: str, size: str, frames: int) -> Any:
    """Return the scene `pan`, `still` or `travel`, with frames of a size such as 128x96."""
    from omnitrack.synthetic import panorama_scene

    width, height = (int(side) for side in size.split("x"))
    motion = {
        "pan": {"sweep": SWEEP},
        "still": {"width": 1.0},
        "travel": {"sweep": frames, "width": 1 + 1.2 * frames / SWEEP},  # as fast as the pan
    }
    return panorama_scene((width, height), frames, **motion[name])


def stored_mb(product: Any) -> float:
    """Return the MB that the arrays of a product take on disk."""
    import h5py

    sizes: list[int] = []
    with product.open() as file:
        file.visititems(
            lambda _, item: sizes.append(item.id.get_storage_size()) if isinstance(item, h5py.Dataset) else None
        )
    return sum(sizes) / 1e6


def queries_of(scene: Any) -> Any:
    """Return points (Q, 3) of some frames from the first to the last."""
    import numpy as np

    rng = np.random.default_rng(0)
    times = np.linspace(0, scene.num_frames - 1, QUERY_FRAMES).round().repeat(QUERY_POINTS)
    places = rng.uniform(0.05, 0.95, (len(times), 2)) * scene.size
    return np.column_stack([times, places])


def query(project: Any, scene: Any, settings: Any) -> dict[str, Any]:
    from omnitrack.stages.query import query_tracks
    from omnitrack.tracks.files import save_tracks

    queries = queries_of(scene)
    begin = time.perf_counter()
    answer = query_tracks(project, queries, settings, device="cpu")
    seconds = time.perf_counter() - begin
    save_tracks(answer, project.root / "tracks" / "tracks.npz")
    return {"query_seconds": seconds, "query_points": len(queries)}


def judge(project: Any, scene: Any, settings: Any) -> dict[str, dict[str, float]]:
    """Return the scores of the fused tracks, the field and the chains, for the second table."""
    from omnitrack.evaluation.baselines import track_chain, track_multigap
    from omnitrack.project.store import FlowStore
    from omnitrack.stages.fit import load_field
    from omnitrack.tracks.files import load_tracks

    fused, queries = load_tracks(project.root / "tracks" / "tracks.npz"), queries_of(scene)
    answers = {"cadex": (fused.tracks, fused.visible), "field alone": by_field(load_field(project, "cpu"), queries)}
    with FlowStore(project) as flows:
        for name, tracker in (("multigap", track_multigap), ("chain", track_chain)):
            answers[name] = tracker(flows, queries, scene.num_frames)
    return {name: scores(scene, queries, *answer) for name, answer in answers.items()}


def by_field(field: Any, queries: Any) -> tuple[Any, Any]:
    import numpy as np

    frames, found = range(field.num_frames), []
    for t in np.unique(queries[:, 0]).astype(int):
        found.append(field.track(t, queries[queries[:, 0] == t, 1:].astype(np.float32), frames))
    return np.concatenate([part.pixels for part in found]), np.concatenate([part.visible for part in found])


def scores(scene: Any, queries: Any, tracks: Any, visible: Any) -> dict[str, float]:
    import numpy as np

    from omnitrack.evaluation.metrics import score_video
    from omnitrack.evaluation.tapvid import pixels_to_raster

    truth, seen = scene.tracks(queries)
    times = queries[:, 0].astype(int)
    raster = [pixels_to_raster(pixels, scene.size) for pixels in (truth, tracks)]
    metrics = score_video(raster[0], ~seen, raster[1], visible, times, "strided")
    apart = np.abs(np.arange(scene.num_frames) - times[:, None])
    right = np.linalg.norm((tracks - truth) * (256 / np.array(scene.size)), axis=-1) < 4

    def share(hits: Any, among: Any) -> float:
        return 100 * float(hits[among].mean()) if among.any() else math.nan

    return {
        "aj": 100 * metrics["average_jaccard"],
        "delta": 100 * metrics["average_pts_within_thresh"],
        "oa": 100 * metrics["occlusion_accuracy"],
        "near": share(right, seen & (apart > 0) & (apart <= SWEEP)),
        "far": share(right, seen & (apart > SWEEP)),
        "back": share(right & visible, seen & (apart > SWEEP)),
    }


def measure(scene: str, by: str, frames: int, work: Path) -> dict[str, Any]:
    """Measure all stages of one clip, each in its own process; stages already measured are not run again."""
    row: dict[str, Any] = {"scene": scene, "by": by, "frames": frames, "log": frames * math.log2(frames)}
    folder = work / scene / by / str(frames)
    folder.mkdir(parents=True, exist_ok=True)
    for stage in (*STAGES, JUDGE):
        measured = folder / f"{stage}.json"
        if not measured.exists():
            words = ["--stage", stage, "--root", str(folder / "clip"), "--frames", str(frames)]
            words = [*sys.argv[1:], *words, "--scenes", scene, "--pairs", by]  # the last of repeated options counts
            done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(done.stderr)
            measured.write_text(done.stdout)
        row.update(json.loads(measured.read_text()))
    row["frames_mb"] = sum(path.stat().st_size for path in folder.rglob("*.png")) / 1e6
    return row


def report_all(asked: argparse.Namespace, work: Path) -> None:
    """Print both tables for all requested clips."""
    report = Report(asked.json, size=asked.size, steps=asked.steps)
    ways = itertools.product(asked.scenes.split(","), map(int, asked.frames.split(",")), asked.pairs.split(","))
    table, rows = report.table("clips", COLUMNS, names=2), []
    for scene, frames, by in ways:
        rows.append(measure(scene, by, frames, work))
        table.add(rows[-1])
    print()
    table = report.table("accuracy", ACCURACY, names=2)
    for row in rows:
        for tracker, found in row["trackers"].items():
            table.add({name: row[name] for name in ("scene", "by", "frames")} | {"tracker": tracker, **found})
    report.write()
    if asked.picture:
        draw_growth(rows, asked.picture)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--frames", default="75,150,300,600")
    parser.add_argument("--size", default="128x96")
    parser.add_argument("--pairs", default="keyframe,log")
    parser.add_argument("--scenes", default="pan")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep clips and measurements here")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="draw both tables (needs matplotlib)")
    add_settings(parser)
    parser.add_argument("--stage", choices=(*STAGES, JUDGE), help=argparse.SUPPRESS)
    parser.add_argument("--root", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.stage is None:
        with tempfile.TemporaryDirectory() as temporary:
            report_all(asked, asked.work or Path(temporary))
        return
    begin = time.process_time()
    found = run_stage(asked.stage, Path(asked.root), asked, int(asked.frames))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**found, f"{asked.stage}_s": time.process_time() - begin, f"{asked.stage}_peak": peak}))


if __name__ == "__main__":
    main()
