"""What do an hour of video, a day of a lab and a million clips cost, and what is the next bottleneck?

    python tests/benchmarks/cost_model.py LONG.json MANY.json [--pairs keyframe] [--fps 24] [--shot-seconds 10]
        [--workers 1000] [--out tests/benchmarks/cost_model.md] [--json FILE]

Measures nothing: every constant is a line through rows that `long_clip.py --json` (LONG) and `many_clips.py --json`
(MANY) wrote, and holds for their frame size and steps. The CPU seconds of a stage are linear in frames (flow: in
pairs), its peak of memory is linear in frames; both include the start of a process, and only the two longest clips
count for the peaks. Each clip also costs the seconds of a worker between clips, and the scheduler's seconds for an
empty task, both on Ray if MANY has it. Scenarios multiply these constants; if a clip is longer than all measured ones,
the table shows by what factor. The output has the constants, the scenarios, and the first bottleneck of each.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import STAGES, Columns, Report, TableRow, parser_of
from growth import DISK

HOUR = 3600
LAB_CLIPS, LAB_SECONDS, LAB_WORKERS = 200, 60, 16
MILLION = 1_000_000
BUSY = 0.5  # share of the scheduler's time above which workers begin to wait for it

CONSTANTS: Columns = {"what": "{what}", "start": "{start:.3g}", "each": "{each:.3g}", "of": "{of}", "rows": "{rows}"}
SCENARIOS: Columns = {
    "scenario": "{name}",
    "clips x frames": "{clips} x {frames}",
    "core h": "{core_hours:.3g}",
    **{stage: "{" + stage + ":.0%}" for stage in STAGES},
    "beside": "{beside:.0%}",
    "workers": "{workers}",
    "wall h": "{wall_hours:.3g}",
    "disk GB": "{disk_gb:.3g}",
    "peak MB": "{peak:.0f}",
    "MB/s written": "{written:.3g}",
    "scheduler busy": "{scheduler:.2%}",
    "times the longest measured": "{beyond:.1f}",
    "first to give out": "{bottleneck}",
}


@dataclass(frozen=True)
class Line:
    """y = start + each x, by least squares relative to x; neither the slope nor a value is negative."""

    start: float
    each: float

    @staticmethod
    def through(points: Sequence[tuple[float, float]]) -> Line:
        """Fit the line to points (x, y) with at least two different values of x."""
        weights = [1 / x**2 for x, _ in points]  # so that a clip of 4,096 frames does not outweigh one of 128
        mean_x, mean_y = (
            sum(w * v for w, v in zip(weights, part, strict=True)) / sum(weights) for part in zip(*points, strict=True)
        )
        pairs = [(w, x - mean_x, y - mean_y) for w, (x, y) in zip(weights, points, strict=True)]
        spread = sum(w * dx**2 for w, dx, _ in pairs)
        if len(points) < 2 or not spread:
            raise SystemExit("clips of one length say nothing of others: long_clip.py --frames T,T,...")
        each = max(0.0, sum(w * dx * dy for w, dx, dy in pairs) / spread)
        return Line(mean_y - each * mean_x, each)

    def at(self, x: float) -> float:
        return max(0.0, self.start + self.each * x)


@dataclass(frozen=True)
class Costs:
    """The measured costs, as lines.

    Attributes:
        seconds: Seconds of each stage: of flow over pairs, of the others over frames.
        peaks: Peak MB of each stage over frames, from the two longest clips: caches fill up first.
        pairs: Pairs over frames.
        disk: MB on disk over frames.
        longest: Frames of the longest clip.
        beside: Seconds of a worker between two clips.
        task: Seconds of the scheduler per task.
        by: What runs the clips.
    """

    seconds: dict[str, Line]
    peaks: dict[str, Line]
    pairs: Line
    disk: Line
    longest: int
    beside: float
    task: float
    by: str

    def stage_seconds(self, stage: str, frames: int) -> float:
        return self.seconds[stage].at(self.pairs.at(frames) if stage == "flow" else frames)


def costs_of(long: Iterable[TableRow], many: dict[str, list[TableRow]]) -> Costs:
    """Fit the lines to the rows of both benchmarks."""
    rows = list(long)
    if not rows:
        raise SystemExit("there is no clip of these pairs in what long_clip.py wrote")

    def line(y: Callable[[TableRow], float], x: str = "frames") -> Line:
        return Line.through([(row[x], y(row)) for row in rows])

    longest = sorted(rows, key=lambda row: row["frames"])[-2:]
    workers = [row for row in many["clips"] if row["workers"] > 1]
    clips = next((row for row in workers if row["by"].startswith("Ray")), workers[-1])
    tasks = next(row for row in many["empty tasks"] if row["by"] == clips["by"])
    return Costs(
        seconds={s: line(lambda row, s=s: row[f"{s}_s"], "pairs" if s == "flow" else "frames") for s in STAGES},
        peaks={s: Line.through([(row["frames"], row[f"{s}_peak"]) for row in longest]) for s in STAGES},
        pairs=line(lambda row: row["pairs"]),
        disk=line(lambda row: sum(row[name] for name in DISK.values())),
        longest=longest[-1]["frames"],
        beside=max(0.0, clips["overhead"]),
        task=tasks["milliseconds"] / 1000,
        by=clips["by"],
    )


def scenario(costs: Costs, name: str, clips: int, frames: int, workers: int) -> dict[str, Any]:
    """Return what clips with equal numbers of frames cost on a number of workers with one core each."""
    stages = {stage: costs.stage_seconds(stage, frames) for stage in STAGES}
    clip = sum(stages.values()) + costs.beside
    wall = clip * math.ceil(clips / workers)
    disk_mb = costs.disk.at(frames)
    found = {
        "name": name,
        "clips": clips,
        "frames": frames,
        "workers": workers,
        "core_hours": clip * clips / HOUR,
        "wall_hours": max(wall, clips * costs.task) / HOUR,
        **{stage: seconds / clip for stage, seconds in stages.items()},
        "beside": costs.beside / clip,
        "disk_gb": disk_mb * clips / 1000,
        "peak": max(line.at(frames) for line in costs.peaks.values()),
        "written": disk_mb * clips / wall,
        "scheduler": clips * costs.task / wall,
        "beyond": frames / costs.longest,
    }
    return {**found, "bottleneck": bottleneck(costs, found)}


def bottleneck(costs: Costs, found: dict[str, Any]) -> str:
    """Return what should be made faster or larger first."""
    if found["scheduler"] > BUSY:
        return f"the scheduler: {1 / costs.task:.0f} tasks a second"
    slowest = max((*STAGES, "beside"), key=lambda name: found[name])
    grows = max(costs.peaks, key=lambda stage: costs.peaks[stage].each)
    if found["beyond"] > 1 and costs.peaks[grows].at(found["frames"]) > 2 * costs.peaks[grows].at(costs.longest):
        return f"memory of {grows}, {1000 * costs.peaks[grows].each:.3g} kB a frame; then the seconds of {slowest}"
    return f"the seconds of {slowest}"


def scenarios(costs: Costs, fps: float, shot_seconds: float, workers: int) -> list[dict[str, Any]]:
    shot = round(fps * shot_seconds)
    shots = math.ceil(HOUR / shot_seconds)
    return [
        scenario(costs, "an hour of video, by shots", shots, shot, 1),
        scenario(costs, "an hour of video, one clip", 1, round(fps * HOUR), 1),
        scenario(costs, "a day of a lab", LAB_CLIPS, round(fps * LAB_SECONDS), LAB_WORKERS),
        scenario(costs, "a million clips", MILLION, shot, workers),
    ]


def constant_rows(costs: Costs, count: int) -> list[dict[str, Any]]:
    """Return one row per line, with its name."""
    lines = [(f"{s}, s", line, "pair" if s == "flow" else "frame") for s, line in costs.seconds.items()]
    lines += [(f"{s}, peak MB", line, "frame") for s, line in costs.peaks.items()]
    lines += [("pairs", costs.pairs, "frame"), ("disk, MB", costs.disk, "frame")]
    found = [
        {"what": name, "start": line.start, "each": line.each, "of": of, "rows": count} for name, line, of in lines
    ]
    found.append(
        {"what": f"beside a clip, s ({costs.by})", "start": 0.0, "each": costs.beside, "of": "clip", "rows": 1}
    )
    return [*found, {"what": f"scheduler, s ({costs.by})", "start": 0.0, "each": costs.task, "of": "task", "rows": 1}]


def markdown(columns: Columns, rows: Iterable[TableRow]) -> str:
    shown = [
        [show.format_map(row) if isinstance(show, str) else show(row) for show in columns.values()] for row in rows
    ]
    lines = [list(columns), ["---"] * len(columns), *shown]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def sources(files: Iterable[tuple[Path, dict[str, Any]]]) -> str:
    """Return where the constants come from, one line per file."""
    names = ("command", "commit", "date", "machine")
    return "\n".join(f"- {path.name}: " + ", ".join(f"`{report[name]}`" for name in names) for path, report in files)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("long", type=Path, help="written by long_clip.py --json")
    parser.add_argument("many", type=Path, help="written by many_clips.py --json")
    parser.add_argument("--pairs", default="keyframe", help="the rows of LONG that count")
    parser.add_argument("--fps", type=float, default=24.0)
    parser.add_argument("--shot-seconds", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("cost_model.md"))
    asked = parser.parse_args()
    long, many = (json.loads(path.read_text(encoding="utf-8")) for path in (asked.long, asked.many))
    rows = [row for row in long["tables"]["clips"] if row["by"] == asked.pairs]
    costs = costs_of(rows, many["tables"])
    constants = constant_rows(costs, len(rows))
    found = scenarios(costs, asked.fps, asked.shot_seconds, asked.workers)
    report = Report(asked.json)
    for name, columns, of in (("constants", CONSTANTS, constants), ("scenarios", SCENARIOS, found)):
        table = report.table(name, columns)
        for row in of:
            table.add(row)
        print()
    report.write()
    about = f"Frames of {long['size']}, {long['steps']} steps, pairs by {asked.pairs}, a worker of one core."
    head = "# What do an hour of video, a day of a lab and a million clips cost?"
    parts = [head, f"`cost_model.py`. {about}", sources([(asked.long, long), (asked.many, many)])]
    tables = [markdown(CONSTANTS, constants), markdown(SCENARIOS, found)]
    asked.out.write_text("\n\n".join([*parts, *tables]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
