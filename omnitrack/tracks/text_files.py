"""The two text formats of tracks: CSV for spreadsheets and editing tools, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content
from omnitrack.tracks.text_tables import read_lines, split_fields
from omnitrack.tracks.tracks import Tracks

CSV_COLUMNS = ("track", "frame", "x", "y", "visible", "confidence")  # required in every file
CSV_MORE = ("query_frame", "query_x", "query_y", "time_s", "pinned")
CSV_QUERY = CSV_MORE[:3]
CSV_ROW = "%d,%d,%.4f,%.4f,%d,%.4f,%d,%.4f,%.4f,%.6f,%d\n"
CSV_ROWS_AT_ONCE = 1 << 16
LIST_BYTES, NUMBER_BYTES = 96, 32  # memory that Python takes for a short list, and for a number in a list
JSON_FORMAT = "omnitrack-tracks-1"


def write_csv(tracks: Tracks, file: BinaryIO) -> None:
    """Write one row per track and frame, track by track; `frame` is the project's frame index."""
    file.write((",".join(CSV_COLUMNS + CSV_MORE) + "\n").encode())
    for rows in csv_blocks(tracks):
        # One format call for the whole block: several times faster than a call per row or np.savetxt.
        file.write((CSV_ROW * len(rows) % tuple(rows.ravel().tolist())).encode())


def csv_blocks(tracks: Tracks) -> Iterator[NDArray[np.float64]]:
    """Yield the rows of a CSV, track by track: blocks (R, 11) of `CSV_COLUMNS` and `CSV_MORE`."""
    count, length = tracks.visible.shape
    pinned = _pinned(tracks)
    seconds = tracks.frames / tracks.fps if tracks.fps else np.full(length, np.nan)
    step = max(1, CSV_ROWS_AT_ONCE // max(length, 1))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        numbers = np.arange(part.start, part.stop, dtype=np.float64)
        rows = np.empty((len(numbers), length, len(CSV_COLUMNS) + len(CSV_MORE)))
        rows[..., 0] = numbers[:, None]
        rows[..., 1] = tracks.frames
        rows[..., 2:4] = tracks.tracks[part]
        rows[..., 4] = tracks.visible[part]
        rows[..., 5] = tracks.confidence[part]
        rows[..., 6:9] = tracks.queries[part, None]
        rows[..., 9] = seconds
        rows[..., 10] = pinned[part]
        yield rows.reshape(-1, rows.shape[-1])


def read_csv(path: Path) -> dict[str, object]:
    """Read the arrays of a CSV of tracks, with rows and columns in any order.

    Without columns for the query, the query of a track is its first visible row; without the column ``pinned`` there
    are no pins.
    """
    columns = _columns(path)
    names = list(columns)
    rows = np.column_stack([columns[name] for name in names])
    ids, row = np.unique(columns["track"], return_inverse=True)
    frames, column = np.unique(columns["frame"], return_inverse=True)
    if len(rows) != len(ids) * len(frames) or len(np.unique(row * len(frames) + column)) < len(rows):
        raise OmnitrackError(
            f"{path} is truncated or has rows twice: {len(rows)} rows for {len(ids)} tracks over {len(frames)} frames",
            "it needs one row per track and frame",
        )
    check_content(f"{path}, {len(rows)} rows,", 3 * rows.nbytes, path.stat().st_size)
    grid = np.empty((len(ids), len(frames), len(names)))
    grid[row, column] = rows
    points, visible = grid[..., 2:4], grid[..., 4] != 0
    found: dict[str, object] = {"tracks": points, "visible": visible, "confidence": grid[..., 5], "frames": frames}
    if "query_x" in columns:
        found["queries"] = _queries(grid[..., 6:9], path)
    else:
        first = visible.argmax(axis=1)
        found["queries"] = np.column_stack([frames[first], points[np.arange(len(ids)), first]])
    if "pinned" in columns:
        track, place = np.nonzero(grid[..., -1])
        found["pins"] = np.column_stack([track, frames[place], points[track, place]])
    return found


def _columns(path: Path) -> dict[str, NDArray[np.float64]]:
    """Read the columns in use, by name, the required columns first."""
    text = read_lines(path)
    fields = [split_fields(path, line, text.separator) for _, line in text.lines[:2]]
    header = [field.lower() for field in fields[0]] if fields else []
    if len(fields) > 1 and len(fields[1]) == len(header) + 1:
        header = ["", *header]  # R omits the name of the column of row names
    missing = [name for name in CSV_COLUMNS if name not in header]
    if missing:
        raise OmnitrackError(
            f"{path} is not a file of tracks: its first line has no column {', '.join(missing)}",
            f"the columns are {','.join(CSV_COLUMNS)}",
        )
    if len(fields) < 2:
        raise OmnitrackError(f"{path} has no rows under its header", "give a file that query wrote")
    if not text.is_whole:
        raise OmnitrackError(f"{path} is truncated: its last line has no end", "if it is whole, end its last line")
    names = [*CSV_COLUMNS, *(CSV_QUERY if set(CSV_QUERY) <= set(header) else ())]
    names += ["pinned"] if "pinned" in header else []
    twice = [name for name in names if header.count(name) > 1]
    if twice:
        raise OmnitrackError(f"{path} has two columns {twice[0]}", "leave one of them")
    lines = (line for _, line in text.lines[1:])
    columns = dict(zip(names, _numbers(lines, text.separator, [header.index(name) for name in names]).T, strict=True))
    for name in ("track", "frame", "visible", "query_frame", "pinned"):
        values = columns.get(name, np.zeros(0))
        if not (np.isfinite(values) & (values == np.floor(values))).all():
            raise OmnitrackError(f"{path}: {name} must be whole numbers")
    return columns


def _numbers(lines: Iterable[str], separator: str, columns: list[int]) -> NDArray[np.float64]:
    """Return (rows, len(columns)) numbers; a comma is a decimal comma unless it is the separator."""
    plain = lines if separator == "," else (line.replace(",", ".") for line in lines)
    between = None if separator == " " else separator
    return np.loadtxt(plain, delimiter=between, ndmin=2, usecols=columns, quotechar='"')


def _queries(named: NDArray[np.float64], path: Path) -> NDArray[np.float64]:
    """Return the query (N, 3) of each track from the queries in its rows (N, T, 3), which must agree."""
    different = (named != named[:, :1]).any((1, 2))
    if different.any():
        raise OmnitrackError(
            f"{path}: the rows of track {int(np.argmax(different))} have different queries",
            f"{', '.join(CSV_QUERY)} are the same in all rows of a track",
        )
    return named[:, 0]


def _pinned(tracks: Tracks) -> NDArray[np.bool_]:
    """Return (N, T) bool: whether there is a pin; a pin in a frame that is left out has no entry."""
    pinned = np.zeros(tracks.visible.shape, bool)
    columns = np.searchsorted(tracks.frames, tracks.pins[:, 1])
    there = np.append(tracks.frames, -1)[columns] == tracks.pins[:, 1]
    pinned[tracks.pins[there, 0].astype(int), columns[there]] = True
    return pinned


def write_json(tracks: Tracks, file: BinaryIO) -> None:
    """Write one object: format, size, fps, frames and meta, then the arrays."""
    head = {
        "format": JSON_FORMAT,
        "size": tracks.size,
        "fps": tracks.fps,
        "frames": tracks.frames.tolist(),
        "meta": tracks.meta,
    }
    file.write(json.dumps(head)[:-1].encode())
    for key in ("queries", "pins", "tracks", "visible", "confidence", "depth"):
        file.write(f',\n"{key}": ['.encode())
        for index, values in enumerate(getattr(tracks, key)):
            # Track by track: nested lists of a whole dense query would take many times its memory.
            file.write(((",\n" if index else "\n") + json.dumps(_plain(values))).encode())
        file.write(b"]")
    file.write(b"}\n")


def read_json(path: Path) -> dict[str, object]:
    """Read the arrays of a JSON file of tracks; null depths stay None, which the caller turns into NaN."""
    data = path.read_bytes()
    lists, values = data.count(b"[") + data.count(b"{"), data.count(b",")
    check_content(str(path), lists * LIST_BYTES + values * NUMBER_BYTES + 5 * len(data), len(data))
    raw = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_object)
    if not isinstance(raw, dict):
        raise OmnitrackError(f"{path} is not a file of tracks: it is not a JSON object", "give a file that query wrote")
    return {**raw, "meta": json.dumps(raw.get("meta", {}))}


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"it names {twice[:40]!r} twice")
    return found


def _plain(values: NDArray) -> list[object]:
    """Return nested lists with null for NaN and infinity, which JSON cannot represent."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        known = np.isfinite(values)
        values = values.astype(object)
        values[~known] = None
    plain: list[object] = values.tolist()
    return plain
