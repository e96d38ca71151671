"""Nuke: nodes to paste or import (File > Insert Comp Nodes).

Convention:
    (0, 0) is the bottom left corner of the frame, y up, so that the top left pixel's centre is (0.5, height - 0.5).
    Frames have the numbers of the image series; frames of a video count from 1 (the first frame of a Read of a movie).
    Pixels are square.

Source:
    Foundry, Nuke reference guide, https://learn.foundry.com/nuke/content/reference_guide/transform_nodes/: Tracker,
    CornerPin2D, Transform. The columns of a Tracker4's knob `tracks` are as Nuke 12 writes them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.export.contract import Trajectories
from omnitrack.export.similarity import similarities

# The columns of a track: the knob's codes for the kind of a column, and its name.
COLUMNS = (
    *("5 1 20 enable e", "3 1 75 name name", "2 1 58 track_x track_x", "2 1 58 track_y track_y"),
    *("2 1 63 offset_x offset_x", "2 1 63 offset_y offset_y", "4 1 27 T T", "4 1 27 R R", "4 1 27 S S"),
    *("2 0 45 error error", "1 1 0 error_min error_min", "1 1 0 error_max error_max"),
    *(f"1 1 0 {name} {name}" for name in ("pattern_x", "pattern_y", "pattern_r", "pattern_t")),
    *(f"1 1 0 {name} {name}" for name in ("search_x", "search_y", "search_r", "search_t")),
    *(f"2 1 0 {name} {name}" for name in ("key_track", "key_search_x", "key_search_y", "key_search_r")),
    *(f"2 1 0 {name} {name}" for name in ("key_search_t", "key_track_x", "key_track_y", "key_track_r")),
    *(f"2 1 0 {name} {name}" for name in ("key_track_t", "key_centre_offset_x", "key_centre_offset_y")),
)
# After the position: no offset; the first two tracks give T, R and S; no error; pattern and search boxes; no keys.
REST = "{} {} %d %d %d {} 1 0 -32 -32 32 32 -22 -22 22 22" + " {}" * 11


def tracker(found: Trajectories) -> Iterator[str]:
    """Yield a Tracker4 with all tracks; `enable` is 0 where a point is occluded."""
    points = found.upward
    yield f"Tracker4 {{\ntracks {{ {{ 1 {len(COLUMNS)} {len(found)} }}\n{{ "
    yield "\n".join(f"{{ {column} 1 }}" for column in COLUMNS)
    yield "\n}\n{\n"
    for row, name in enumerate(found.names):
        written = found.written[row]
        numbers, seen = found.numbers[written], found.visible[row, written]
        changed = np.append(True, seen[1:] != seen[:-1])[: len(seen)]
        enabled = f"{{curve K {_keys(numbers[changed], seen[changed], '%d')}}}" if len(seen) else "0"
        x, y = (curve(numbers, points[row, written, axis]) for axis in (0, 1))
        yield f" {{ {enabled} {_quoted(name)} {x} {y} {REST % (3 * (row < 2,))} }}\n"
    yield f"}}\n}}\nreference_frame {found.numbers[0]}\nname omnitrack_tracks\n}}\n"


def corner_pin(found: Trajectories) -> Iterator[str]:
    """Yield a CornerPin2D with which anything drawn on the reference frame follows the four points.

    The points are ordered counter-clockwise from the bottom left, as Nuke orders corners; the reference frame is the
    first frame in which all four are written.
    """
    points = found.upward
    column = _common_column(found)
    if not found.written[:, column].all():
        raise OmnitrackError("the four points are never seen together", "keep hidden ones: --hidden hold")
    start = points[:, column]
    middle = start.mean(0)
    angles = np.arctan2(*(start - middle)[:, ::-1].T)
    order = np.argsort((angles + np.pi) % (2 * np.pi), kind="stable")  # bottom left, at -135 degrees, comes first
    yield "CornerPin2D {\n"
    for place, row in enumerate(order, 1):
        written = found.written[row]
        x, y = (curve(found.numbers[written], points[row, written, axis]) for axis in (0, 1))
        yield f"to{place} {{{x} {y}}}\n"
    for place, row in enumerate(order, 1):
        yield f"from{place} {{{start[row, 0]:.4f} {start[row, 1]:.4f}}}\n"
    yield f'label "reference frame {found.numbers[column]}"\nname omnitrack_cornerpin\n}}\n'


def transform(found: Trajectories) -> Iterator[str]:
    """Yield a Transform that moves the reference frame with the tracks.

    It has translation, and with two or more tracks also rotation and scale. It is fitted to the points that are written
    in both frames; a frame without common points has no key.
    """
    points = found.upward
    column = _common_column(found)
    fitted = similarities(points, found.written, column)
    centre = points[found.written[:, column], column].mean(0)
    known = np.isfinite(fitted).all(1)
    numbers = found.numbers[known]
    scale, turn, *shift = fitted[known].T
    linear = np.stack([scale * np.cos(turn), -scale * np.sin(turn), scale * np.sin(turn), scale * np.cos(turn)], -1)
    moved = linear.reshape(-1, 2, 2) @ centre + np.stack(shift, -1) - centre
    x, y = (curve(numbers, moved[:, axis]) for axis in (0, 1))
    yield f"Transform {{\ntranslate {{{x} {y}}}\n"
    yield f"rotate {{{curve(numbers, np.degrees(np.unwrap(turn)), 6)}}}\nscale {{{curve(numbers, scale, 8)}}}\n"
    yield f'center {{{centre[0]:.4f} {centre[1]:.4f}}}\nlabel "reference frame {found.numbers[column]}"\n'
    yield "name omnitrack_transform\n}\n"


def _common_column(found: Trajectories) -> int:
    """Return the first frame in which the most tracks are written, ideally all."""
    if not found.written.any():
        raise OmnitrackError("none of the tracks is seen", "follow points that are, or lower --min-confidence")
    return int(found.written.sum(0).argmax())


def curve(numbers: NDArray[np.int64], values: NDArray[np.floating], decimals: int = 4) -> str:
    """Return an animation curve in a knob's syntax, ``{curve x1 2.5 x2 3.5}``; empty braces without keys."""
    return f"{{curve {_keys(numbers, values, f'%.{decimals}f')}}}" if len(numbers) else "{}"


def _keys(numbers: NDArray[np.int64], values: NDArray[np.generic], form: str) -> str:
    rows = np.column_stack([numbers, values]).ravel().tolist()
    return (f"x%d {form} " * len(numbers) % tuple(rows)).rstrip()


def _quoted(name: str) -> str:
    """Return a name quoted for Tcl."""
    for character in ("\\", '"', "[", "]", "$", "{", "}"):
        name = name.replace(character, "\\" + character)
    return f'"{name}"'
