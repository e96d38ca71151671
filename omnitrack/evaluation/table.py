"""Evaluation results as tables: rich for a terminal, markdown for a README."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = {
    "average_jaccard": "AJ",
    "average_pts_within_thresh": "delta_avg",
    "occlusion_accuracy": "OA",
    "temporal_coherence": "TC",
}
PUBLISHED = {
    "OmniMotion": (0.517, 0.675, 0.853, 0.74),
    "CaDeX++": (0.594, 0.774, 0.859, 0.68),
    "DINO-Tracker": (0.623, 0.782, 0.875, None),
    "ProTracker": (0.653, 0.808, 0.887, None),
}
_NOTE = "AJ, delta_avg, OA in per cent, higher is better; TC in px at 256x256, lower is better; seconds per video"
_PUBLISHED_LABEL = "published, full-length DAVIS"
_ABSENT = "-"


def rich_table(results: Mapping[str, Any], per_video: bool = False, published: bool = False) -> Table:
    """The results as a rich table, a row per method.

    Args:
        results: `omnitrack.stages.evaluate.EvalReport.results`.
        per_video: Adds a row per method and video.
        published: Adds the published numbers, which appear for `strided` queries on a dataset named after DAVIS only.
    """
    from rich.table import Table

    table = Table(title=title(results), caption=_NOTE)
    for index, name in enumerate(_header(per_video)):
        table.add_column(name, justify="left" if index <= per_video else "right")
    for row in _rows(results, per_video, published, lambda text: text.replace("[", r"\[")):
        table.add_row(*row)
    return table


def markdown_table(results: Mapping[str, Any], per_video: bool = False, published: bool = False) -> str:
    """The results as a markdown table under a line that says what was measured; arguments as `rich_table`."""
    header = _header(per_video)
    align = ["---" if index <= per_video else "---:" for index in range(len(header))]
    lines = [header, align, *_rows(results, per_video, published, lambda text: text.replace("|", r"\|"))]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{title(results)}. {_NOTE}.\n\n{body}\n"


def title(results: Mapping[str, Any]) -> str:
    """What was measured, in a line: dataset, number of videos, query mode, resolution."""
    counts = [len(method["videos"]) for method in results["methods"].values()]
    videos = max(counts, default=0)
    plural = "" if videos == 1 else "s"
    return f"{results['dataset']}: {videos} video{plural}, {results['query_mode']} queries, {results['resolution']}"


def _header(per_video: bool) -> list[str]:
    return ["method", *(["video"] if per_video else []), *COLUMNS.values(), "seconds"]


def _rows(
    results: Mapping[str, Any], per_video: bool, published: bool, escape: Callable[[str], str]
) -> list[list[str]]:
    rows = []
    for name, method in results["methods"].items():
        for video, values in method["videos"].items() if per_video else ():
            rows.append([escape(name), escape(video), *_cells(values), _seconds([values])])
        mean = ["mean"] if per_video else []
        rows.append([escape(name), *mean, *_cells(method["mean"]), _seconds(list(method["videos"].values()))])
    if published and results["query_mode"] == "strided" and "davis" in str(results["dataset"]).lower():
        for name, values in PUBLISHED.items():
            mean = ["mean"] if per_video else []
            cells = _cells(dict(zip(COLUMNS, values, strict=True)))
            rows.append([f"{name} ({_PUBLISHED_LABEL})", *mean, *cells, _ABSENT])
    return rows


def _cells(values: Mapping[str, Any]) -> list[str]:
    *shares, coherence = (values[key] for key in COLUMNS)
    return [
        *(_ABSENT if share is None else f"{100 * share:.1f}" for share in shares),
        _ABSENT if coherence is None else f"{coherence:.2f}",
    ]


def _seconds(videos: list[Mapping[str, Any]]) -> str:
    """Mean over the videos of all stages' seconds together; predictions come without."""
    totals = [sum(video["seconds"].values()) for video in videos if video["seconds"]]
    return f"{sum(totals) / len(totals):.1f}" if totals else _ABSENT
