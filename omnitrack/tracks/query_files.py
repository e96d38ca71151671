"""Query points in files: rows (t, x, y) as a text table, .npy or .npz; or tracks, whose queries and pins are reused.

In a table with a column ``track`` the first row of a track is its query, and every further row is a pin: the position
of the track in another frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.numpy_file import read_npy, read_npz
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.text_tables import SHOWN, TextTable, read_text_table

COLUMNS = ("t", "x", "y")
TRACK = "track"
ALIASES = {"frame": "t"}  # the name in files of tracks
TABLES = (".csv", ".tsv", ".txt")
SUFFIXES = (*TABLES, ".npy", ".npz", ".json", ".h5")
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class PointFile:
    """The queries and pins of a file.

    Attributes:
        queries: (N, 3) rows (t, x, y), N > 0.
        pins: (M, 4) rows (track, t, x, y); track is an index of the N rows.
        place: Returns the location of a query in the file, for messages.
        pin_place: Returns the location of a pin in the file, for messages.
    """

    queries: Numbers
    pins: Numbers
    place: Callable[[int], str]
    pin_place: Callable[[int], str]


def read_points(path: Path) -> PointFile:
    """Read query points, and pins if there are any.

    Args:
        path: A .csv, .tsv or .txt whose first line names the columns t (or frame), x and y in any order, and optionally
            track, or that has rows t,x,y without a header, see `read_text_table`; a .npy of shape (N, 3); a .npz with
            an array of that shape called ``queries`` or ``points``, and optionally ``pins`` (M, 4); or tracks written
            by `save_tracks`.

    Raises:
        OmnitrackError: The file is missing, empty or damaged; for a table, the message names the line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OmnitrackError(f"{path} does not end in a format of points", f"one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise OmnitrackError(f"there is no file of points at {path}", "give rows t,x,y as .csv, .npy or .npz")
    if suffix in TABLES:
        found = _read_table(path)
    elif suffix in (".npy", ".npz"):
        found = _in_rows(path, *_read_arrays(path))
    else:
        found = _of_tracks(path)
    if not len(found.queries):
        raise OmnitrackError(f"{path} holds no points", "put in rows t,x,y")
    return found


def _in_rows(path: Path, queries: Numbers, pins: Numbers) -> PointFile:
    return PointFile(queries, pins, lambda row: f"{path} row {row}", lambda row: f"{path} pin {row}")


def _of_tracks(path: Path) -> PointFile:
    """Read the queries and pins of a file of tracks."""
    tracks = load_tracks(path)
    queries, pins = tracks.queries.astype(np.float64), tracks.pins.astype(np.float64)
    return PointFile(queries, pins, lambda row: f"{path} track {row}", lambda row: f"{path} track {pins[row, 0]:g}")


def _read_table(path: Path) -> PointFile:
    table = read_text_table(path)
    if path.suffix.lower() == ".csv" and {TRACK, "frame", "visible"} <= set(table.header):
        return _of_tracks(path)
    rows = table.numbers(_columns(table))
    if rows.shape[1] == len(COLUMNS):
        rows = np.column_stack([rows, np.arange(len(rows))])
    first, track = np.unique(rows[:, 3], return_index=True, return_inverse=True)[1:]
    more = np.setdiff1d(np.arange(len(rows)), first)
    return PointFile(
        rows[first, :3],
        np.column_stack([track[more], rows[more, :3]]),
        lambda query: table.place(first[query]),
        lambda pin: table.place(more[pin]),
    )


def _columns(table: TextTable) -> list[int]:
    """Return the columns of t, x, y and, if present, the track."""
    if not table.header:
        wide = len(table.rows[0]) if table.rows else len(COLUMNS)
        if wide != len(COLUMNS):
            raise _not_points(table, table.place(0), table.rows[0])
        return [0, 1, 2]
    names = [ALIASES.get(name, name) for name in table.header]
    if not all(column in names for column in COLUMNS):
        raise _not_points(table, f"{table.path} line {table.first_line}", table.header)
    return [names.index(column) for column in (*COLUMNS, TRACK) if column in names]


def _not_points(table: TextTable, where: str, fields: list[str]) -> OmnitrackError:
    return OmnitrackError(
        f"{where}: neither a header with t, x and y nor a row t,x,y: {','.join(fields)[:SHOWN]!r}", "for example: t,x,y"
    )


def _read_arrays(path: Path) -> tuple[Numbers, Numbers]:
    """Read queries (N, 3) and pins (M, 4)."""
    pins: NDArray = np.zeros((0, 4))
    try:
        if path.suffix.lower() == ".npy":
            array = read_npy(path)
        else:
            found = read_npz(path, lambda names: [_key_of(names, path), *(["pins"] if "pins" in names else [])])
            pins = found.pop("pins", pins)
            (array,) = found.values()
    except (OSError, ValueError) as error:
        raise OmnitrackError(f"{path} is not a readable {path.suffix} file: {error}", "save it with np.save") from error
    for values, width, form in ((array, 3, "(N, 3), rows (t, x, y)"), (pins, 4, "(M, 4), rows (track, t, x, y)")):
        if values.ndim != 2 or values.shape[1] != width or values.dtype.kind not in "iuf":
            raise OmnitrackError(
                f"{path} has {values.dtype} values of shape {values.shape}", f"give numbers of shape {form}"
            )
    return array.astype(np.float64), pins.astype(np.float64)


def _key_of(names: list[str], path: Path) -> str:
    for key in ("queries", "points"):
        if key in names:
            return key
    raise OmnitrackError(
        f"{path} has no array queries or points, only {', '.join(names) or 'nothing'}",
        "save it with np.savez(file, queries=rows)",
    )
