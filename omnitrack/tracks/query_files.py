"""Query points in files: rows (t, x, y) as a table of text, .npy or .npz."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.text_tables import SHOWN, TextTable, read_text_table

COLUMNS = ("t", "x", "y")
ALIASES = {"frame": "t"}  # as files of tracks call it
TABLES = (".csv", ".tsv", ".txt")


def read_points(path: Path) -> tuple[NDArray[np.float64], Callable[[int], str]]:
    """Read query points.

    Args:
        path: A .csv, .tsv or .txt whose first line names the columns t (or frame), x and y in any order, or that has
            rows t,x,y at once, see `read_text_table`; a .npy of shape (N, 3); a .npz with an array of that shape under
            ``queries`` or ``points``.

    Returns:
        (N, 3) float64 rows (t, x, y), N > 0, and a function that names the place of a row in the file.

    Raises:
        OmnitrackError: A missing, empty or damaged file, with the line in a .csv.
    """
    suffix = path.suffix.lower()
    if suffix not in (*TABLES, ".npy", ".npz"):
        known = ", ".join((*TABLES, ".npy", ".npz"))
        raise OmnitrackError(f"{path} does not end in a format of points", f"one of {known}")
    if not path.is_file():
        raise OmnitrackError(f"there is no file of points at {path}", "give rows t,x,y as .csv, .npy or .npz")
    rows, table = _read_table(path) if suffix in TABLES else (_read_array(path), None)
    if not len(rows):
        raise OmnitrackError(f"{path} holds no points", "put in rows t,x,y")

    def place(row: int) -> str:
        return f"{path} row {row}" if table is None else table.place(row)

    return rows, place


def _read_table(path: Path) -> tuple[NDArray[np.float64], TextTable]:
    table = read_text_table(path)
    return table.numbers(_columns(table)), table


def _columns(table: TextTable) -> list[int]:
    """Where a table has t, x and y."""
    if not table.header:
        wide = len(table.rows[0]) if table.rows else len(COLUMNS)
        if wide != len(COLUMNS):
            raise _not_points(table, table.place(0), table.rows[0])
        return [0, 1, 2]
    names = [ALIASES.get(name, name) for name in table.header]
    if not all(column in names for column in COLUMNS):
        raise _not_points(table, f"{table.path} line {table.first_line}", table.header)
    return [names.index(column) for column in COLUMNS]


def _not_points(table: TextTable, where: str, fields: list[str]) -> OmnitrackError:
    return OmnitrackError(
        f"{where}: neither a header with t, x and y nor a row t,x,y: {','.join(fields)[:SHOWN]!r}", "for example: t,x,y"
    )


def _read_array(path: Path) -> NDArray[np.float64]:
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
        else:
            array = loaded
    except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
        raise OmnitrackError(f"{path} is not a readable {path.suffix} file: {error}", "save it with np.save") from error
    if array.ndim != 2 or array.shape[1] != len(COLUMNS) or array.dtype.kind not in "iuf":
        raise OmnitrackError(
            f"{path} has {array.dtype} values of shape {array.shape}", "give numbers of shape (N, 3), rows (t, x, y)"
        )
    return array.astype(np.float64)
