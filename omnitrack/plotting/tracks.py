"""Plots of tracks over time: position, speed and confidence; few in one diagram, many as small multiples.

Convention:
    Pixels are (x, y) of the original video, x right, y down. Where a point is occluded, its line is dotted or
    the background is shaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from omnitrack.plotting.figures import COLOURS, GREY, SHADE, look, name_lines, new_figure, shortened, tidy
from omnitrack.tracks.tracks import Tracks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = len(COLOURS)  # more in one diagram cannot be told apart
COLUMNS, MOST_PANELS = 6, 60  # of a page of small multiples
BELOW = 0.03  # margin, a share of the axis range, so that a line at its end is not clipped
WIDTH, ROW_HEIGHT, PANEL_HEIGHT = 10.0, 1.9, 1.15  # inches


@dataclass(frozen=True)
class Scale:
    """The unit of lengths.

    Attributes:
        per_px: Units per pixel of the original video.
        unit: Name of the unit.
    """

    per_px: float = 1.0
    unit: str = "px"


PIXELS = Scale()


def speeds(tracks: Tracks, scale: Scale = PIXELS) -> NDArray[np.float64]:
    """(N, T) speed in units per second, or per frame if the rate is unknown, by central differences.

    NaN if there is only one frame.
    """
    if len(tracks.frames) < 2:
        return np.full(tracks.visible.shape, np.nan)
    steps = np.gradient(tracks.tracks.astype(np.float64), times(tracks), axis=1)
    return np.asarray(scale.per_px * np.linalg.norm(steps, axis=-1))


def times(tracks: Tracks) -> NDArray[np.float64]:
    """(T,) times in seconds of the project's clip, or in frames if the rate is unknown."""
    return tracks.frames / tracks.fps if tracks.fps else tracks.frames.astype(np.float64)


def track_page(tracks: Tracks, names: Sequence[str], quantities: Sequence[str], scale: Scale) -> Figure:
    """Plot tracks on one page: few in shared diagrams, many as small multiples.

    Args:
        tracks: N tracks.
        names: The name of each track.
        quantities: Any of ``x``, ``y``, ``speed`` and ``confidence``. In small multiples ``x`` and ``y`` are relative
            to their first value.
        scale: The unit of lengths.
    """
    words = _words(tracks, scale)
    if len(tracks) <= MOST_LINES:
        return _together(tracks, names, _values(tracks, quantities, scale), words)
    rows = np.unique(np.linspace(0, len(tracks) - 1, min(len(tracks), MOST_PANELS)).round().astype(int))
    count = f"{len(rows)} of {len(tracks)} tracks, evenly chosen" if len(rows) < len(tracks) else f"{len(rows)} tracks"
    part = {name: getattr(tracks, name)[rows] for name in ("queries", "tracks", "visible", "confidence", "depth")}
    some = replace(tracks, pins=tracks.pins[:0], **part)
    figure = _small_multiples(some, [names[row] for row in rows], _values(some, quantities, scale), words)
    figure.suptitle(f"{count}; grey: hidden", fontsize=10, parse_math=False)
    return figure


def _values(tracks: Tracks, quantities: Sequence[str], scale: Scale) -> dict[str, NDArray[np.float64]]:
    x, y = np.moveaxis(scale.per_px * tracks.tracks.astype(np.float64), -1, 0)
    all_of_them = {"x": x, "y": y, "speed": speeds(tracks, scale), "confidence": tracks.confidence.astype(np.float64)}
    return {what: all_of_them[what] for what in quantities}


def _words(tracks: Tracks, scale: Scale) -> dict[str, str]:
    per = f"{scale.unit}/s" if tracks.fps else f"{scale.unit}/frame"
    return {
        "x": f"x ({scale.unit})",
        "y": f"y ({scale.unit}, down)",
        "speed": f"speed ({per})",
        "confidence": "confidence",
        "time": "time (s)" if tracks.fps else "frame",
    }


def _together(
    tracks: Tracks, names: Sequence[str], chosen: dict[str, NDArray[np.float64]], words: dict[str, str]
) -> Figure:
    """Plot one diagram per quantity, one below the other, each with all tracks."""
    figure = new_figure(WIDTH, 0.9 + ROW_HEIGHT * max(len(chosen), 2))
    panels = figure.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    time, alone = times(tracks), len(tracks) == 1
    for panel, (what, values) in zip(panels, chosen.items(), strict=True):
        tidy(panel, words[what])
        if alone:
            _shade_hidden(panel, time, tracks.visible[0])
        lines = []
        for track, name in enumerate(names):
            seen = np.where(tracks.visible[track], values[track], np.nan)
            (line,) = panel.plot(time, seen, linewidth=1.6, **look(track))
            panel.plot(time, values[track], linewidth=1.0, color=line.get_color(), linestyle=(0, (1, 2)))
            lines.append((name, line))
        _limit(panel, what, values)
        if what == "y":
            panel.invert_yaxis()
    marks = [] if tracks.visible.all() else [_hidden_mark(alone)]
    name_lines(panels[0], [*lines, *marks], loc="lower left", bbox_to_anchor=(0, 1.0), ncols=8)
    panels[-1].set_xlabel(words["time"], fontsize=9)
    return figure


def _small_multiples(
    tracks: Tracks, names: Sequence[str], chosen: dict[str, NDArray[np.float64]], words: dict[str, str]
) -> Figure:
    """Plot one small diagram per track, all with the same scale."""
    lines = -(-len(tracks) // COLUMNS)
    figure = new_figure(1.2 * WIDTH, 1.2 + PANEL_HEIGHT * lines)
    panels = figure.subplots(lines, COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    time, drawn = times(tracks), {}
    for row, (panel, name) in enumerate(zip(panels, names, strict=False)):
        tidy(panel)
        panel.set_title(shortened(name), fontsize=7, pad=2, parse_math=False)
        _shade_hidden(panel, time, tracks.visible[row])
        for index, (what, values) in enumerate(chosen.items()):
            from_start = values[row] - values[row, 0] if what in ("x", "y") else values[row]
            (drawn[what],) = panel.plot(time, from_start, linewidth=1.1, **look(index))
        if list(chosen) == ["confidence"]:
            _limit(panel, "confidence", values)
    for panel in panels[len(tracks) :]:
        panel.set_visible(False)
    about = [f"{words[what]} from its start" if what in ("x", "y") else words[what] for what in chosen]
    figure.supxlabel(words["time"], fontsize=9)
    if len(drawn) > 1:
        figure.legend(list(drawn.values()), about, fontsize=8, frameon=False, loc="outside upper right")
    else:
        figure.supylabel(about[0], fontsize=9, parse_math=False)
    return figure


def _shade_hidden(panel: Axes, time: NDArray[np.float64], visible: NDArray[np.bool_]) -> None:
    """Shade occluded spans, from midway between a visible and an occluded frame to midway on the other side."""
    middles = (time[1:] + time[:-1]) / 2
    edges = np.concatenate([time[:1], middles, time[-1:]])
    changes = np.flatnonzero(np.diff(np.concatenate([[True], visible, [True]]).astype(int)))
    for begin, end in changes.reshape(-1, 2).tolist():
        panel.axvspan(edges[begin], edges[end], color=SHADE, linewidth=0, zorder=0)


def _hidden_mark(alone: bool) -> tuple[str, object]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return "hidden", Patch(color=SHADE) if alone else Line2D([], [], color=GREY, linestyle=(0, (1, 2)))


def _limit(panel: Axes, what: str, values: NDArray[np.float64]) -> None:
    """Set limits that are comparable between clips: confidence from 0 to 1, speed from 0, with a margin below 0."""
    if what == "confidence":
        panel.set_ylim(-BELOW, 1 + BELOW)
    elif what == "speed" and np.isfinite(values).any():
        panel.set_ylim(bottom=-BELOW * max(float(np.nanmax(values)), 1e-6))
