"""Plots of an evaluation: accuracy by threshold and by clip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.evaluation.metrics import THRESHOLDS
from omnitrack.plotting.figures import GREY, look, name_lines, new_figure, shortened, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLIP_METRICS = {"average_jaccard": "AJ", "average_pts_within_thresh": "delta_avg", "occlusion_accuracy": "OA"}
CLIP_HEIGHT = 0.2  # inches


def evaluation_page(results: Mapping[str, Any]) -> Figure:
    """Plot shares of points within 1 to 16 px and Jaccard indices by threshold, above the three averages by clip.

    Clips are sorted by the first method's AJ, the best on top.

    Args:
        results: As in `omnitrack.stages.evaluate.EvalReport`; null values are left out.
    """
    methods = results["methods"]
    clips = _by_jaccard(next(iter(methods.values()))["videos"])
    below = 0.8 + CLIP_HEIGHT * max(len(clips), 4)
    figure = new_figure(10.5, 3.6 + below)
    upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=(3.6, below))[:, 0]
    left, right = upper.subplots(1, 2, sharey=True)
    lines = _by_threshold(left, methods, "pts_within", "visible points within the threshold (%)")
    _by_threshold(right, methods, "jaccard", "Jaccard index (%)")
    upper.suptitle(_title(results, len(clips)), fontsize=10, parse_math=False)
    name_lines(left, lines, loc="lower right")
    panels = lower.subplots(1, len(CLIP_METRICS), sharey=True)
    for panel, (metric, name) in zip(panels, CLIP_METRICS.items(), strict=True):
        _clip_by_clip(panel, methods, clips, metric, name)
    panels[0].set_yticks(range(len(clips)), [shortened(clip) for clip in clips], parse_math=False)
    panels[0].set_ylim(len(clips) - 0.5, -0.5)
    return figure


def _by_jaccard(videos: Mapping[str, Any]) -> list[str]:
    def key(clip: str) -> tuple[float, str]:
        value = videos[clip]["average_jaccard"]
        return (2.0 if value is None else -value, clip)  # undefined values come last

    return sorted(videos, key=key)


def _by_threshold(panel: Axes, methods: Mapping[str, Any], metric: str, what: str) -> dict[str, Any]:
    tidy(panel, what)
    lines = {}
    for index, (name, found) in enumerate(methods.items()):
        values = [found["mean"].get(f"{metric}_{threshold}") for threshold in THRESHOLDS]
        (lines[name],) = panel.plot(THRESHOLDS, _percent(values), marker="o", markersize=4, **look(index))
    panel.set_xscale("log", base=2)
    panel.set_xticks(THRESHOLDS, [str(threshold) for threshold in THRESHOLDS])
    panel.set_xlabel("threshold (px at 256 x 256)", fontsize=9)
    panel.set_ylim(0, 103)
    return lines


def _clip_by_clip(panel: Axes, methods: Mapping[str, Any], clips: list[str], metric: str, name: str) -> None:
    """Plot one dot per method and clip; a grey line joins the dots of a clip."""
    tidy(panel)
    rows = np.arange(len(clips))
    found = [_percent([method["videos"].get(clip, {}).get(metric) for clip in clips]) for method in methods.values()]
    table = np.array(found)
    known = np.isfinite(table).any(0)
    panel.hlines(rows[known], np.nanmin(table[:, known], 0), np.nanmax(table[:, known], 0), color="0.75", linewidth=1)
    for index, values in enumerate(found):
        panel.plot(values, rows, marker="o", markersize=4.5, **{**look(index), "linestyle": "none"})
        if np.isfinite(values).any():
            panel.axvline(float(np.nanmean(values)), linewidth=1, alpha=0.6, **look(index))
    panel.set_xlabel(f"{name} (%), line: mean", fontsize=9)
    panel.tick_params(axis="y", length=0, colors=GREY)


def _percent(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else 100 * value for value in values], np.float64)


def _title(results: Mapping[str, Any], clips: int) -> str:
    about = (str(results.get(key) or "") for key in ("dataset", "query_mode", "resolution"))
    return ", ".join([text for text in about if text] + [f"{clips} clip{'s' if clips != 1 else ''}"])
