"""Plots of `long_clip.py` over the number of frames: seconds, memory, pairs and disk, accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import STAGES, TableRow

DISK = {"frames": "frames_mb", "flow": "flow_mb", "filtered": "filtered_mb", "checkpoint": "checkpoint_mb"}
Lines = dict[str, Callable[[TableRow], float]]


def draw_growth(rows: Sequence[TableRow], path: Path) -> None:
    """Draw four panels over frames, logarithmic except for the accuracy; needs matplotlib.

    Args:
        rows: Rows of one scene and one choice of pairs, one per clip.
        path: Path of the PNG.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = sorted(rows, key=lambda row: row["frames"])
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7), constrained_layout=True)
    panels: list[tuple[str, Lines]] = [
        ("CPU seconds", {stage: _value(f"{stage}_s") for stage in STAGES}),
        ("peak of memory, MB", {stage: _value(f"{stage}_peak") for stage in STAGES}),
        ("pairs, and MB on disk", {"pairs": _value("pairs"), "T log2 T": _value("log"), **_disk()}),
        ("AJ, per cent", {name: _accuracy(name) for name in rows[0]["trackers"]}),
    ]
    frames = [row["frames"] for row in rows]
    for axis, (title, lines) in zip(axes.flat, panels, strict=True):
        for name, of in lines.items():
            axis.plot(frames, [of(row) for row in rows], marker="o", markersize=3, label=name)
        axis.set_xscale("log", base=2)
        axis.set_xticks(frames, [str(count) for count in frames])
        axis.set_title(title)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    for axis in axes.flat[:3]:
        axis.set_yscale("log")
    axes.flat[3].set_ylim(0, 100)
    for axis in axes[1]:
        axis.set_xlabel("frames")
    figure.savefig(path, dpi=110)


def _value(name: str) -> Callable[[TableRow], float]:
    return lambda row: float(row[name])


def _disk() -> Lines:
    return {f"MB of {name}": _value(column) for name, column in DISK.items()}


def _accuracy(tracker: str) -> Callable[[TableRow], float]:
    def of(row: TableRow) -> float:
        trackers: dict[str, Any] = row["trackers"]
        return float(trackers[tracker]["aj"])

    return of
