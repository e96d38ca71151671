"""How much faster are two workers on twelve clips, are their results identical, and what is the overhead of a task?

    python tests/benchmarks/many_clips.py [--clips 12] [--frames 8] [--size 96x72] [--steps 60] [--workers 2]
        [--json FILE]

Small clips of synthetic scenes go through `omnitrack run --into` one after another, in processes and, if Ray is
installed, on Ray on this machine. A row has the seconds of the whole command, the sum of the seconds of the clips, and
the overhead per clip: workers x command - clips, including the start of Python and Ray. The products and tracks are
compared with those of the first row, except for times. The second table has the cost of empty tasks on running workers.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import FOLDER, Columns, Report, parser_of

ATTACKS = FOLDER.parent / "attacks"
EMPTY_TASKS = 200
COLUMNS: Columns = {
    "clips": "{clips}",
    "by": "{by}",
    "workers": "{workers}",
    "command s": "{seconds:.1f}",
    "clips s": "{clip_seconds:.1f}",
    "beside, s a clip": "{overhead:.2f}",
    "times as fast": "{faster:.2f}",
    "same bytes": "{same}",
}
EMPTY_COLUMNS: Columns = {
    "empty tasks": "{tasks}",
    "by": "{by}",
    "ms a task": "{milliseconds:.2f}",
    "start s": "{start:.1f}",
}


def make_clips(folder: Path, asked: argparse.Namespace) -> None:
    import cv2

    from omnitrack.synthetic import occluder_scene

    width, height = (int(side) for side in asked.size.split("x"))
    for number in range(asked.clips):
        clip = folder / f"clip{number:02}"
        clip.mkdir(parents=True)
        for t, frame in enumerate(occluder_scene((width, height), asked.frames, speed=1.0 + 0.25 * number).frames()):
            cv2.imwrite(str(clip / f"{t:03}.png"), frame[..., ::-1])


def run(clips: Path, into: Path, words: list[str], asked: argparse.Namespace) -> tuple[float, float]:
    """Return the seconds of the command, and the sum over the clips."""
    command = ["run", f"{clips}/*", "--into", str(into), "--grid", "8@0", "--steps", str(asked.steps), "-q", "--json"]
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "omnitrack", *command, *words], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, sum(clip["seconds"] for clip in json.loads(done.stdout)["clips"])


def digests(into: Path) -> dict[str, Any]:
    from contents import contents

    return {clip.name: contents(clip) for clip in sorted(into.iterdir())}


def empty(device: str = "", progress: Any = None) -> None:
    """Do nothing."""


def empty_tasks(executor: Any) -> tuple[float, float]:
    """Return the seconds per empty task, and the seconds until the first one ends."""
    from omnitrack.progress import SILENT
    from omnitrack.workers.contract import Job

    begin = time.perf_counter()
    running = executor.run((Job(str(number), empty) for number in range(EMPTY_TASKS)), SILENT)
    next(running)
    first = time.perf_counter()
    count = sum(1 for _ in running)
    return (time.perf_counter() - first) / count, first - begin


def executors(workers: int) -> dict[str, tuple[list[str], Any]]:
    """Return executors by name: the options of the command line, and the executor itself."""
    from omnitrack.workers.contract import Share
    from omnitrack.workers.processes import Processes

    found: dict[str, tuple[list[str], Any]] = {
        "processes": (["--jobs", str(workers)], Processes([Share(1, "cpu")] * workers))
    }
    if importlib.util.find_spec("ray"):
        from omnitrack.workers.cluster import Cluster

        words = ["--cluster", "local", "--jobs", str(workers)]
        found[f"Ray {importlib.import_module('ray').__version__}"] = words, Cluster("local", workers, "cpu")
    return found


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--clips", type=int, default=12)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="96x72")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    sys.path.insert(0, str(ATTACKS))
    report = Report(asked.json)
    table = report.table("clips", COLUMNS, names=2)
    ways = {"one by one": ([], None), **executors(asked.workers)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_clips(folder / "clips", asked)
        first: dict[str, Any] = {}
        for by, (words, executor) in ways.items():
            seconds, clip_seconds = run(folder / "clips", folder / "into", words, asked)
            found = digests(folder / "into")
            (folder / "into").rename(folder / f"into {by}")
            workers = 1 if executor is None else asked.workers
            first = first or {"seconds": seconds, "found": found}
            overhead = (workers * seconds - clip_seconds) / asked.clips
            row = {"clips": asked.clips, "by": by, "workers": workers, "seconds": seconds, "clip_seconds": clip_seconds}
            faster, same = first["seconds"] / seconds, "yes" if found == first["found"] else "no"
            table.add({**row, "overhead": overhead, "faster": faster, "same": same})
    print()
    table = report.table("empty tasks", EMPTY_COLUMNS, names=2)
    for by, (_, executor) in ways.items():
        if executor is not None:
            each, start = empty_tasks(executor)
            table.add({"tasks": EMPTY_TASKS, "by": by, "milliseconds": 1000 * each, "start": start})
    report.write()


if __name__ == "__main__":
    main()
