"""Query points in files: rows (t, x, y) as .csv, .npy or .npz."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.numpy_file import read_npy, read_npz

COLUMNS = ("t", "x", "y")


def read_points(path: Path) -> tuple[NDArray[np.float64], Callable[[int], str]]:
    """Read query points.

    Args:
        path: A .csv whose first line names the columns t, x and y in any order, or that has rows t,x,y at once; a .npy
            of shape (N, 3); a .npz with an array of that shape under ``queries`` or ``points``.

    Returns:
        (N, 3) float64 rows (t, x, y), N > 0, and a function that names the place of a row in the file.

    Raises:
        OmnitrackError: A missing, empty or damaged file, with the line in a .csv.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".npy", ".npz"):
        raise OmnitrackError(f"{path} does not end in a format of points", "one of .csv, .npy, .npz")
    if not path.is_file():
        raise OmnitrackError(f"there is no file of points at {path}", "give a .csv, .npy or .npz with rows t,x,y")
    if suffix == ".csv":
        rows, lines = _read_csv(path)
    else:
        rows, lines = _read_array(path), None
    if not len(rows):
        raise OmnitrackError(f"{path} holds no points", "put in rows t,x,y")

    def place(row: int) -> str:
        return f"{path} row {row}" if lines is None else f"{path} line {lines[row]}"

    return rows, place


def _read_csv(path: Path) -> tuple[NDArray[np.float64], list[int]]:
    """The rows and the line number of each; blank lines and lines that begin with # do not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise OmnitrackError(f"cannot read {path}: {error.strerror or error}", "check that file") from error
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
            columns = _header(fields, f"{path} line {number}")
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
    return np.array(rows, np.float64).reshape(-1, 3), lines


def _header(fields: list[str], where: str) -> list[int] | None:
    """Where a header has t, x and y; None for a first line that is three numbers already."""
    names = [field.lower() for field in fields]
    if all(column in names for column in COLUMNS):
        return [names.index(column) for column in COLUMNS]
    with suppress(ValueError):
        if len([float(field) for field in fields]) == len(COLUMNS):
            return None
    raise OmnitrackError(
        f"{where}: neither a header with t, x and y nor a row t,x,y: {','.join(fields)!r}", "for example: t,x,y"
    )


def _read_array(path: Path) -> NDArray[np.float64]:
    try:
        if path.suffix.lower() == ".npy":
            array = read_npy(path)
        else:
            (array,) = read_npz(path, lambda names: [_key_of(names, path)]).values()
    except (OSError, ValueError) as error:
        raise OmnitrackError(f"{path} is not a readable {path.suffix} file: {error}", "save it with np.save") from error
    if array.ndim != 2 or array.shape[1] != len(COLUMNS) or array.dtype.kind not in "iuf":
        raise OmnitrackError(
            f"{path} has {array.dtype} values of shape {array.shape}", "give numbers of shape (N, 3), rows (t, x, y)"
        )
    return array.astype(np.float64)


def _key_of(names: list[str], path: Path) -> str:
    for key in ("queries", "points"):
        if key in names:
            return key
    raise OmnitrackError(
        f"{path} has no array queries or points, only {', '.join(names) or 'nothing'}",
        "save it with np.savez(file, queries=rows)",
    )
