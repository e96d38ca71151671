"""`omnitrack eval`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnitrack.cli.complete import values
from omnitrack.cli.options import METHODS, Assignments, ClusterAddress, Jobs, MaxMemory, Preset, Steps, one_of
from omnitrack.cli.session import Session
from omnitrack.errors import UsageError
from omnitrack.evaluation.ablations import NAMES, expand_ablations

if TYPE_CHECKING:
    from omnitrack.settings import Settings

EXAMPLES = """
omnitrack eval tapvid_davis.pkl                 the fitted field beside chained flow
omnitrack eval tapvid_davis.pkl --videos goat,dog --work work -o results.json --plot results.pdf
omnitrack eval tapvid_davis.pkl --jobs 4 --work work
omnitrack eval tapvid_davis.pkl --method direct --method chain --query-mode first
omnitrack eval tapvid_davis.pkl --predictions cotracker=saved/cotracker
omnitrack eval tapvid_davis.pkl --method cadex --method omnimotion --preset fast
omnitrack eval tapvid_davis.pkl --ablation cadex --work work
omnitrack eval tapvid_davis.pkl --ablation omnimotion/no-photometric --method chain
"""
BASELINES = ("direct", "chain", "multigap-plain", "multigap")
QUERY_MODES = ("first", "strided")

Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="A TAP-Vid pickle, a folder of its shards or a glob.")]
Methods = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="NAME",
        help=f"{', '.join(METHODS)}, or a baseline on the same flow: {', '.join(BASELINES)} (repeatable).",
        show_default="cadex and chain",
        autocompletion=values(*METHODS, *BASELINES),
    ),
]
Ablations = Annotated[
    list[str] | None,
    typer.Option(
        "--ablation",
        metavar="NAME",
        help="Remove one component of a method, METHOD/NAME, or each in turn, METHOD; shown beside the whole method "
        "and the paper's numbers (repeatable).",
        autocompletion=values(*NAMES),
    ),
]
Predictions = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=DIR", help="Evaluate another tracker's saved tracks (repeatable)."),
]
QueryMode = Annotated[
    str,
    typer.Option(
        metavar="|".join(QUERY_MODES),
        help="Which frames queries start in.",
        callback=one_of(*QUERY_MODES),
        autocompletion=values(*QUERY_MODES),
    ),
]
Resolution = Annotated[str, typer.Option(metavar="WxH", help="Resize frames to this; native keeps their size.")]
Videos = Annotated[str | None, typer.Option(metavar="A,B", help="Only these videos of the dataset.")]
Work = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Keep every video's project here, and continue from finished work.")
]
Results = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the results as JSON, updated after every video."),
]
EvalPlot = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Plot accuracy by threshold and by clip: .png, .svg or .pdf."),
]


def command(
    session: Session,
    dataset: Dataset,
    method: Methods = None,
    ablation: Ablations = None,
    predictions: Predictions = None,
    query_mode: QueryMode = "strided",
    resolution: Resolution = "256x256",
    videos: Videos = None,
    preset: Preset = None,
    steps: Steps = None,
    work: Work = None,
    jobs: Jobs = None,
    cluster: ClusterAddress = None,
    output: Results = None,
    max_memory: MaxMemory = None,
    plot: EvalPlot = None,
    assignments: Assignments = None,
) -> None:
    """Score trackers on a TAP-Vid dataset.

    Prints one table of AJ, delta_avg, OA, TC and seconds; baselines use the same flow. Every method has its own
    defaults and preset; the changes of an ablation take precedence over --preset and --set.
    """
    size, directories = _size(resolution), _named_directories(predictions or [])
    ablations = expand_ablations(ablation or [])
    from omnitrack.evaluation.tapvid import load_tapvid
    from omnitrack.stages.evaluate import VideosFailed, evaluate
    from omnitrack.stages.plot import check_plot
    from omnitrack.workers.executors import choose_executor

    if plot is not None:
        check_plot(plot)

    def settings_for(overrides: dict[str, object]) -> Settings:
        return session.settings(
            None, assignments, {"fit.steps": steps, "memory.max_gb": max_memory, **overrides}, preset
        )

    settings = settings_for({})
    try:
        report = evaluate(
            load_tapvid(dataset, videos.split(",") if videos else None),
            [*(method or ([] if predictions or ablations else ["cadex", "chain"])), *ablations],
            settings,
            query_mode,
            size,
            directories,
            work,
            session.device,
            session.seed,
            Path(dataset).stem,
            session.progress,
            output,
            settings_for=settings_for,
            executor=choose_executor(
                jobs, session.device, settings.memory.max_gb, cluster=cluster, progress=session.progress
            ),
        )
    except VideosFailed as failed:
        if failed.report.videos:
            _show(session, failed.report.results, output, plot)
        raise
    _show(session, report.results, output, plot)


def _show(session: Session, results: dict[str, Any], output: Path | None, plot: Path | None) -> None:
    from omnitrack.stages.plot import plot_results

    if plot is not None:
        plot_results(results, plot)
    session.table(results)
    for path, what in ((output, "results: "), (plot, "plot: ")):
        if path and not session.as_json:
            session.say(str(path), what, "bold green")


def _size(text: str) -> tuple[int, int] | None:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None and text != "native":
        raise UsageError(f"--resolution {text!r} is not WxH", "for example --resolution 256x256, or native")
    return (int(match[1]), int(match[2])) if match else None


def _named_directories(texts: list[str]) -> dict[str, Path]:
    found = {}
    for text in texts:
        name, equals, directory = text.partition("=")
        if not (name and equals and directory):
            raise UsageError(f"--predictions {text!r} is not NAME=DIR", "for example --predictions mine=saved/mine")
        found[name] = Path(directory)
    return found
