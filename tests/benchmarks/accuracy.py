"""How accurate is the fit, compared with what it was fitted to? Runs unattended and resumes where it stopped.

    python tests/benchmarks/accuracy.py tapvid_davis.pkl --work work [--only NAME] [--weights DIRECTORY] [--jobs N]
        [--json FILE]

Runs the experiments of `accuracy/experiments.toml`, each as one or several calls of `omnitrack eval` with different
seeds, numbers of steps or settings, and writes the results to `accuracy/NAME.md`: metrics per clip and their mean,
seconds, memory, settings, commit. If the number of steps varies, it also draws accuracy over time as
`accuracy/NAME.png` (needs matplotlib). The projects stay under WORK: experiments with the same flow share them, and
existing results are not computed again. With `--jobs`, several clips run at once, each in its own process with its
share of the cores.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from common import Report, aj_over_seconds, commit, machine, parser_of

from omnitrack.config import read_toml
from omnitrack.evaluation.table import COLUMNS
from omnitrack.evaluation.tapvid import load_tapvid

FOLDER = Path(__file__).parent / "accuracy"
BASELINES = ("multigap", "multigap-plain", "chain", "direct")


@dataclass(frozen=True)
class Experiment:
    """A table of experiments.toml.

    Attributes:
        name: Name of the table and of the files written.
        question: The question that it answers: one sentence.
        methods: Rows of the results.
        projects: Folder under WORK; experiments with the same flow share it.
        resolution: In the form of `omnitrack eval`.
        videos: Names; empty: all.
        preset: Preset of the settings; empty: the defaults.
        settings: KEY=VALUE, in which {weights} stands for the directory of weights.
        variants: KEY=VALUE, or several separated by spaces; one run each, after a run without any.
        steps: Numbers of steps, one run each; empty: the preset's.
        seeds: One run each.
    """

    name: str
    question: str
    methods: tuple[str, ...]
    projects: str
    resolution: str = "256x256"
    videos: tuple[str, ...] = ()
    preset: str = ""
    settings: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    steps: tuple[int, ...] = ()
    seeds: tuple[int, ...] = (0,)

    def runs(self) -> list[tuple[str, list[str]]]:
        """Return the label and arguments of every call of `omnitrack eval`; only the first includes the baselines."""
        found: list[tuple[str, list[str]]] = []
        for steps, seed, variant in product(self.steps or (None,), self.seeds, ("", *self.variants)):
            label = [f"{steps} steps"] if len(self.steps) > 1 else []
            label += [f"seed {seed}"] if len(self.seeds) > 1 else []
            label += [variant] if variant else []
            words = ["--resolution", self.resolution, "--seed", str(seed)]
            for method in self.methods:
                words += ["--method", method] if not found or method not in BASELINES else []
            words += ["--videos", ",".join(self.videos)] if self.videos else []
            words += ["--preset", self.preset] if self.preset else []
            words += ["--steps", str(steps)] if steps else []
            words += [word for setting in (*self.settings, *variant.split()) for word in ("--set", setting)]
            found.append((", ".join(label), words))
        return found


def read_experiments(path: Path, weights: Path) -> list[Experiment]:
    """Read the experiments of a file, with lists as tuples and {weights} filled in."""
    tables = read_toml(path)
    experiments = []
    for name, table in tables.items():
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        settings = tuple(text.replace("{weights}", str(weights)) for text in values.pop("settings", ()))
        experiments.append(Experiment(name=name, settings=settings, **values))
    return experiments


def run(experiment: Experiment, dataset: Path, work: Path, jobs: int = 1) -> list[dict[str, Any]]:
    """Return the results of every run of an experiment, from WORK if they exist there; `jobs` clips run at once."""
    records = []
    for number, (label, words) in enumerate(experiment.runs()):
        done = work / "results" / f"{experiment.name}-{number}.json"
        record = json.loads(done.read_text(encoding="utf-8")) if done.exists() else {}
        if record.get("arguments") != words:
            found = _evaluate(words, experiment.videos, dataset, work / experiment.projects, jobs)
            record = {"label": label, "arguments": words, **found}
            done.parent.mkdir(parents=True, exist_ok=True)
            done.write_text(json.dumps(record, indent=2), encoding="utf-8")
        records.append(record)
    return records


def _evaluate(words: list[str], videos: tuple[str, ...], dataset: Path, projects: Path, jobs: int) -> dict[str, Any]:
    """Return the results and cost of one run; after concurrent clips, a final call combines their finished results."""
    at_start, start = commit(), datetime.now(timezone.utc)
    command = [sys.executable, "-m", "omnitrack", "eval", str(dataset), *words, "--work", str(projects), "-q"]
    print(f"{start:%H:%M} {shlex.join(command)}", flush=True)
    output = projects.parent / f"{projects.name}.part.json"
    peaks: list[float] = []
    if jobs > 1:
        names = videos or tuple(video.name for video in load_tapvid(dataset))
        threads = max((os.cpu_count() or 1) // jobs, 1)
        with ThreadPoolExecutor(jobs) as pool:
            peaks += pool.map(lambda name: _run_alone([*command, "--videos", name], threads), names)
    peaks.append(_run_alone([*command, "-o", str(output)]))
    results = json.loads(output.read_text(encoding="utf-8"))
    output.unlink()
    return {
        "commit": at_start,
        "date": f"{start:%Y-%m-%d}",
        "machine": machine(),
        "jobs": jobs,
        "peak_gb": max(peaks),
        "results": results,
    }


def _run_alone(command: list[str], threads: int = 0) -> float:
    """Run a command to its end and return its peak memory in GB; `threads` limits torch's threads (0: no limit)."""
    process = subprocess.Popen(command, env={**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {shlex.join(command)}")
    return usage.ru_maxrss / 2**20


def report(experiment: Experiment, records: list[dict[str, Any]], weights: Path) -> str:
    """Return the experiment as Markdown."""
    first = records[0]
    shown = " ".join(first["arguments"]).replace(str(weights), "WEIGHTS")
    lines = [
        f"# {experiment.name}",
        "",
        experiment.question,
        "",
        f"    omnitrack eval {first['results']['dataset']}.pkl {shown} --work work",
        "",
        f"Commit {first['commit']}, {first['date']}; {first.get('machine', 'machine unknown')}."
        " AJ, delta_avg, OA in per cent, TC in px at 256 x 256; seconds init to query, of the machine as it was"
        f" with {_clips_at_once(first.get('jobs', 1))};"
        f" at most {max(record['peak_gb'] for record in records):.1f} GB.",
        "",
        f"| run | method | video | {' | '.join(COLUMNS.values())} | seconds |",
        f"|---|---|---|{'---:|' * (len(COLUMNS) + 1)}",
    ]
    for record in records:
        for method, found in record["results"]["methods"].items():
            for video, values in found["videos"].items():
                lines.append(_row(record["label"], method, video, values, seconds(values)))
            mean = np.mean([seconds(values) for values in found["videos"].values()])
            lines.append(_row(record["label"], method, "**mean**", found["mean"], float(mean)))
    if len(experiment.seeds) > 1:
        lines += ["", *_spread(records)]
    return "\n".join(lines) + "\n"


def _clips_at_once(jobs: int) -> str:
    return "one clip at a time" if jobs == 1 else f"{jobs} clips at once"


def _row(label: str, method: str, video: str, values: Mapping[str, Any], time: float) -> str:
    *shares, coherence = (values[key] for key in COLUMNS)
    cells = [*(f"{100 * share:.1f}" for share in shares), f"{coherence:.2f}", f"{time:.0f}"]
    return f"| {' | '.join([label, method, video, *cells])} |"


def _spread(records: list[dict[str, Any]]) -> Iterable[str]:
    """Yield a table of mean and standard deviation over the seeds, per method and video."""
    yield f"| method | video | {' | '.join(COLUMNS.values())} |"
    yield f"|---|---|{'---:|' * len(COLUMNS)}"
    for method in records[-1]["results"]["methods"]:
        of = [record["results"]["methods"][method] for record in records]
        for video in [*of[0]["videos"], "**mean**"]:
            runs = [found["videos"].get(video, found["mean"]) for found in of]
            scale = {key: 1 if key == "temporal_coherence" else 100 for key in COLUMNS}
            values = {key: np.array([run[key] for run in runs]) * scale[key] for key in COLUMNS}
            cells = [f"{np.mean(value):.2f} +- {np.std(value, ddof=1):.2f}" for value in values.values()]
            yield f"| {' | '.join([method, video, *cells])} |"


def seconds(values: Mapping[str, Any]) -> float:
    """Return the seconds of all stages of a video."""
    return float(sum(values["seconds"].values()))


def draw(experiment: Experiment, records: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy over seconds of the fit: one line per method and video, and the mean per method."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for colour, method in enumerate(records[-1]["results"]["methods"]):
        of = [record["results"]["methods"][method] for record in records]
        times = [np.mean([values["seconds"]["fit"] for values in found["videos"].values()]) for found in of]
        for video in of[0]["videos"]:
            shares = [100 * found["videos"][video]["average_jaccard"] for found in of]
            axes.plot(times, shares, color=f"C{colour}", alpha=0.35, linewidth=1)
            left: dict[str, Any] = {"xytext": (-4, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
            axes.annotate(video, (times[0], shares[0]), fontsize=7, **left)
        means = [100 * found["mean"]["average_jaccard"] for found in of]
        axes.plot(times, means, color=f"C{colour}", marker="o", label=f"{method}, mean")
        for time, mean, steps in zip(times, means, experiment.steps, strict=True):
            beside: dict[str, Any] = {
                "xytext": (0, -13 if colour else 6),
                "textcoords": "offset points",
                "ha": "center",
            }
            axes.annotate(f"{steps}", (time, mean), fontsize=8, **beside)
    axes.set_title(experiment.question, fontsize=10)
    aj_over_seconds(axes)
    axes.margins(x=0.12)
    axes.legend()
    figure.savefig(path, dpi=110)


def rows_of(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per run, method and video, with the circumstances of each run."""
    rows = []
    for record in records:
        about = {key: record.get(key) for key in ("arguments", "commit", "date", "machine", "jobs", "peak_gb")}
        for method, found in record["results"]["methods"].items():
            rows += [
                {"run": record["label"], "method": method, "video": video, **values, "about": about}
                for video, values in found["videos"].items()
            ]
    return rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True, help="keeps projects and results")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="these experiments (repeatable)")
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="directory with raft-small.pth, xfeat.onnx"
    )
    parser.add_argument("--jobs", type=int, default=1, help="clips that run at once")
    arguments = parser.parse_args()
    experiments = read_experiments(FOLDER / "experiments.toml", arguments.weights)
    unknown = set(arguments.only) - {experiment.name for experiment in experiments}
    if unknown:
        raise SystemExit(f"no experiment {', '.join(sorted(unknown))}: {', '.join(e.name for e in experiments)}")
    results = Report(arguments.json)
    for experiment in experiments:
        if arguments.only and experiment.name not in arguments.only:
            continue
        arguments.work.mkdir(parents=True, exist_ok=True)
        records = run(experiment, arguments.dataset, arguments.work, arguments.jobs)
        results.keep(experiment.name, rows_of(records))
        (FOLDER / f"{experiment.name}.md").write_text(report(experiment, records, arguments.weights), encoding="utf-8")
        if len(experiment.steps) > 1:
            draw(experiment, records, FOLDER / f"{experiment.name}.png")
    results.write()


if __name__ == "__main__":
    main()
