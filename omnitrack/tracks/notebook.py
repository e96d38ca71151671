"""Tracks in a notebook: a drawing with a table, and a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from importlib import import_module
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.tracks.text_files import CSV_COLUMNS, CSV_MORE, csv_blocks
from omnitrack.tracks.tracks import Tracks
from omnitrack.weights import import_extra

if TYPE_CHECKING:
    from pandas import DataFrame

EXTRA = "notebook"
WIDTH = 360  # of the drawing, in CSS pixels
DRAWN_TRACKS = 200
TABLE_ROWS = 8
HIDDEN = ' stroke-dasharray="2 4"'
GOLDEN_ANGLE = 137.508  # degrees of hue between consecutive tracks, so that neighbours differ
# Functions that draw tracks are in packages that import this one; notebook users expect them as methods of `Tracks`.
ABOVE = {"plot": "omnitrack.stages.plot:track_diagram", "show": "omnitrack.view.widget:show_tracks"}
KINDS = {"track": int, "frame": int, "visible": bool, "query_frame": int, "pinned": bool}


def from_above(name: str) -> Callable[..., Any]:
    """Return the function of a higher package that implements a method of `Tracks`."""
    module, function = ABOVE[name].split(":")
    found: Callable[..., Any] = getattr(import_module(module), function)
    return found


def as_pandas(tracks: Tracks) -> DataFrame:
    """Return one row per track and frame, with the columns of the CSV; for errors see `Tracks.to_pandas`."""
    pandas = import_extra("pandas", EXTRA)
    names = CSV_COLUMNS + CSV_MORE
    rows = np.concatenate([np.empty((0, len(names))), *csv_blocks(tracks)])
    found: DataFrame = pandas.DataFrame(rows, columns=list(names)).astype(KINDS)
    return found


def as_html(tracks: Tracks) -> str:
    """Return the trajectories as SVG, occluded parts dashed, beside a table of the first points."""
    shown = _evenly(len(tracks), DRAWN_TRACKS)
    more = f" ({len(shown)} drawn)" if len(shown) < len(tracks) else ""
    width, height = tracks.size
    head = f"{len(tracks)} tracks{more}, {len(tracks.frames)} frames, {width} x {height} pixels"
    drawing = "".join(_drawn(tracks, row) for row in shown)
    return (
        f"<div><b>{head}</b><br>"
        f'<svg viewBox="-0.5 -0.5 {width} {height}" width="{WIDTH}" style="background:#8883;vertical-align:top">'
        f"{drawing}</svg> {_table(tracks)}</div>"
    )


def _evenly(count: int, most: int) -> list[int]:
    """Return at most `most` row indices, evenly spread over `count` rows."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _drawn(tracks: Tracks, row: int) -> str:
    colour, places = f"hsl({row * GOLDEN_ANGLE % 360:.0f} 75% 55%)", tracks.tracks[row]
    style = f'fill="none" stroke="{colour}" stroke-width="1.5" vector-effect="non-scaling-stroke"'
    paths = ""
    for seen, part in _pieces(tracks.visible[row]):
        joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in places[part] if np.isfinite((x, y)).all())
        paths += f'<path d="M{joined}" {style}{"" if seen else HIDDEN}/>' if joined else ""
    if len(places) and np.isfinite(places[-1]).all():
        x, y = places[-1]
        paths += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{max(tracks.size) / 150:.1f}" fill="{colour}"/>'
    return paths


def _pieces(visible: NDArray[np.bool_]) -> Iterator[tuple[bool, slice]]:
    """Yield runs of steps between frames: whether both ends of each step are visible, and the slice of its frames."""
    start, steps = 0, (visible[1:] & visible[:-1]).tolist()
    for seen, group in groupby(steps):
        length = len(list(group))
        yield seen, slice(start, start + length + 1)
        start += length


def _table(tracks: Tracks) -> str:
    names = tracks.meta.get("names")
    named = names if isinstance(names, list) and len(names) == len(tracks) else None
    titles = ["track", *(["name"] if named else []), "frame", "x", "y", "seen", "confidence"]
    lines = []
    for row in range(min(len(tracks), TABLE_ROWS)):
        t, x, y = tracks.queries[row]
        seen, confidence = tracks.visible[row].mean(), tracks.confidence[row].mean()
        cells = [f"{row}", *([escape(str(named[row]))] if named else []), f"{t:.0f}", f"{x:.1f}", f"{y:.1f}"]
        lines.append([*cells, f"{seen:.0%}", f"{confidence:.2f}"])
    if len(tracks) > TABLE_ROWS:
        lines.append(["..."] + [""] * (len(titles) - 1))
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f'<table style="display:inline-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
