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
_ABLATION_NOTE = "METHOD/NAME: the field alone, as in the papers, without fusion with the measured flow"
_PUBLISHED_LABEL = "published, full-length DAVIS"
_ABSENT = "-"


def rich_table(results: Mapping[str, Any], per_video: bool = False, published: bool = False) -> Table:
    """Return the results as a rich table, one row per method.

    Args:
        results: `omnitrack.stages.evaluate.EvalReport.results`.
        per_video: Adds a row per method and video.
        published: Adds the published numbers, for `strided` queries on a dataset named after DAVIS only: beside the
            rows of ablations if there are any, else as rows of their own.
    """
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    beside = bool(_beside(results, published))  # all columns fit into 80 characters only without lines between them
    table = Table(
        title=escape(title(results)),
        caption=escape(_note(results, published)),
        box=box.SIMPLE_HEAD if beside else box.HEAVY_HEAD,
        pad_edge=not beside,
        collapse_padding=beside,
    )
    for index, name in enumerate(_header(results, per_video, published)):
        header = name.replace("published ", "publ.\n").replace("_", "\n") if beside else name
        table.add_column(header, justify="left" if index <= per_video else "right", overflow="fold")
    for row in _rows(results, per_video, published, escape):
        table.add_row(*row)
    return table


def markdown_table(results: Mapping[str, Any], per_video: bool = False, published: bool = False) -> str:
    """Return the results as a markdown table below a title line; arguments as in `rich_table`."""
    header = _header(results, per_video, published)
    align = ["---" if index <= per_video else "---:" for index in range(len(header))]
    lines = [header, align, *_rows(results, per_video, published, lambda text: text.replace("|", r"\|"))]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{title(results)}. {_note(results, published)}.\n\n{body}\n"


def title(results: Mapping[str, Any]) -> str:
    """Return a one-line title: dataset, number of videos, query mode, resolution."""
    counts = [len(method["videos"]) for method in results["methods"].values()]
    videos = max(counts, default=0)
    plural = "" if videos == 1 else "s"
    return f"{results['dataset']}: {videos} video{plural}, {results['query_mode']} queries, {results['resolution']}"


def _header(results: Mapping[str, Any], per_video: bool, published: bool) -> list[str]:
    beside = [f"published {name}" for name in COLUMNS.values()] if _beside(results, published) else []
    return ["method", *(["video"] if per_video else []), *COLUMNS.values(), "seconds", *beside]


def _note(results: Mapping[str, Any], published: bool) -> str:
    """Explain the columns, and name the sources of published numbers."""
    known = filter(None, _beside(results, published).values())
    sources = dict.fromkeys(numbers["source"] for numbers in known)
    about = [f"published, not like for like: {'; '.join(sources)}"] if sources else []
    return "; ".join([_NOTE, *([_ABLATION_NOTE] if "published" in results else []), *about])


def _beside(results: Mapping[str, Any], published: bool) -> dict[str, Any]:
    """The published numbers of each row of ablations, None for a row without; empty if none are shown."""
    return results.get("published", {}) if published and _on_strided_davis(results) else {}


def _on_strided_davis(results: Mapping[str, Any]) -> bool:
    return bool(results["query_mode"] == "strided" and "davis" in str(results["dataset"]).lower())


def _rows(
    results: Mapping[str, Any], per_video: bool, published: bool, escape: Callable[[str], str]
) -> list[list[str]]:
    rows, beside = [], _beside(results, published)
    mean, absent = ["mean"] if per_video else [], [_ABSENT] * len(COLUMNS) if beside else []
    for name, method in results["methods"].items():
        for video, values in method["videos"].items() if per_video else ():
            rows.append([escape(name), escape(video), *_cells(values), _seconds([values]), *absent])
        numbers = _cells(beside[name]) if beside.get(name) else absent
        rows.append([escape(name), *mean, *_cells(method["mean"]), _seconds(list(method["videos"].values())), *numbers])
    if published and _on_strided_davis(results) and "published" not in results:
        for name, values in PUBLISHED.items():
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
    """Mean over the videos of the total seconds of all stages; predictions have none."""
    totals = [sum(video["seconds"].values()) for video in videos if video["seconds"]]
    return f"{sum(totals) / len(totals):.1f}" if totals else _ABSENT
