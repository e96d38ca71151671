"""Query points in files: rows (t, x, y) as .csv, .npy or .npz, and tracks, whose queries and pins are asked again.

In a .csv with a column ``track`` the first row of a track is its query and every further one a pin: where the track is
in another frame.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import load_tracks

COLUMNS = ("t", "x", "y")
TRACK = "track"
SUFFIXES = (".csv", ".npy", ".npz", ".json", ".h5")
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class PointFile:
    """What a file asks for.

    Attributes:
        queries: (N, 3) rows (t, x, y), N > 0.
        pins: (M, 4) rows (track, t, x, y), track one of the N rows.
        place: Names the place of a query in the file.
        pin_place: Names the place of a pin in the file.
    """

    queries: Numbers
    pins: Numbers
    place: Callable[[int], str]
    pin_place: Callable[[int], str]


def read_points(path: Path) -> PointFile:
    """Read query points, and pins if there are any.

    Args:
        path: A .csv whose first line names the columns t (or frame), x and y in any order, and perhaps track, or that
            has rows t,x,y at once; a .npy of shape (N, 3); a .npz with an array of that shape under ``queries`` or
            ``points``, and perhaps ``pins`` (M, 4); or tracks as `save_tracks` wrote them.

    Raises:
        OmnitrackError: A missing, empty or damaged file, with the line in a .csv.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OmnitrackError(f"{path} does not end in a format of points", f"one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise OmnitrackError(f"there is no file of points at {path}", "give a .csv, .npy or .npz with rows t,x,y")
    if suffix == ".csv":
        found = _read_csv(path)
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
    """The queries and pins of a file of tracks."""
    tracks = load_tracks(path)
    queries, pins = tracks.queries.astype(np.float64), tracks.pins.astype(np.float64)
    return PointFile(queries, pins, lambda row: f"{path} track {row}", lambda row: f"{path} track {pins[row, 0]:g}")


def _read_csv(path: Path) -> PointFile:
    """Blank lines and lines that begin with # do not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise OmnitrackError(f"{path} is not a text file", "give rows t,x,y") from error
    rows: list[list[float]] = []
    lines: list[int] = []
    columns: list[int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        fields = [field.strip() for field in line.split(",")]
        if columns is None:
            names = [field.lower() for field in fields]
            if {TRACK, "frame", "visible"} <= set(names):
                return _of_tracks(path)
            columns = _header(names, f"{path} line {number}")
            if columns is not None:
                continue
            columns = [0, 1, 2]
        try:
            if len(fields) <= max(columns):
                raise ValueError("too few columns")
            rows.append([float(fields[column]) for column in columns])
        except ValueError as error:
            raise OmnitrackError(f"{path} line {number} {line!r}: {error}", "a row is three numbers t,x,y") from error
        lines.append(number)
    table, at = np.array(rows, np.float64).reshape(-1, len(columns or COLUMNS)), np.array(lines, int)
    if table.shape[1] == len(COLUMNS):
        table = np.column_stack([table, np.arange(len(table))])
    first, track = np.unique(table[:, 3], return_index=True, return_inverse=True)[1:]
    more = np.setdiff1d(np.arange(len(table)), first)
    return PointFile(
        table[first, :3],
        np.column_stack([track[more], table[more, :3]]),
        lambda row: f"{path} line {at[first[row]]}",
        lambda row: f"{path} line {at[more[row]]}",
    )


def _header(names: list[str], where: str) -> list[int] | None:
    """Where a header has t, x, y and perhaps the track; None for a first line that is three numbers already."""
    named = ["t" if name == "frame" and "t" not in names else name for name in names]
    if all(column in named for column in COLUMNS):
        return [named.index(column) for column in (*COLUMNS, TRACK) if column in named]
    with suppress(ValueError):
        if len([float(name) for name in names]) == len(COLUMNS):
            return None
    raise OmnitrackError(
        f"{where}: neither a header with t, x and y nor a row t,x,y: {','.join(names)!r}", "for example: t,x,y"
    )


def _read_arrays(path: Path) -> tuple[Numbers, Numbers]:
    """Queries (N, 3) and pins (M, 4)."""
    pins: NDArray = np.zeros((0, 4))
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded as archive:
                key = next((key for key in ("queries", "points") if key in archive.files), None)
                if key is None:
                    raise OmnitrackError(
                        f"{path} has no array queries or points, only {', '.join(archive.files) or 'nothing'}",
                        "save it with np.savez(file, queries=rows)",
                    )
                array = archive[key]
                pins = archive["pins"] if "pins" in archive.files else pins
        else:
            array = loaded
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise OmnitrackError(f"{path} is not a readable {path.suffix} file: {error}", "save it with np.save") from error
    for values, width, form in ((array, 3, "(N, 3), rows (t, x, y)"), (pins, 4, "(M, 4), rows (track, t, x, y)")):
        if values.ndim != 2 or values.shape[1] != width or values.dtype.kind not in "iuf":
            raise OmnitrackError(
                f"{path} has {values.dtype} values of shape {values.shape}", f"give numbers of shape {form}"
            )
    return array.astype(np.float64), pins.astype(np.float64)
