"""The two text formats of tracks: CSV for spreadsheets and editing tools, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.tracks import Tracks

CSV_COLUMNS = ("track", "frame", "x", "y", "visible", "confidence")
CSV_ROW = "%d,%d,%.4f,%.4f,%d,%.4f\n"
CSV_ROWS_AT_ONCE = 1 << 16
JSON_FORMAT = "omnitrack-tracks-1"


def write_csv(tracks: Tracks, file: BinaryIO) -> None:
    """Write one row per track and frame, track by track; `frame` is the project's frame index."""
    file.write((",".join(CSV_COLUMNS) + "\n").encode())
    count, length = tracks.visible.shape
    step = max(1, CSV_ROWS_AT_ONCE // max(length, 1))
    for start in range(0, count, step):
        part = slice(start, min(start + step, count))
        numbers = np.arange(part.start, part.stop, dtype=np.float64)
        rows = np.empty((len(numbers), length, len(CSV_COLUMNS)))
        rows[..., 0] = numbers[:, None]
        rows[..., 1] = tracks.frames
        rows[..., 2:4] = tracks.tracks[part]
        rows[..., 4] = tracks.visible[part]
        rows[..., 5] = tracks.confidence[part]
        # One format call for the whole block: several times faster than a call per row or np.savetxt.
        file.write((CSV_ROW * (len(numbers) * length) % tuple(rows.ravel().tolist())).encode())


def read_csv(path: Path) -> dict[str, object]:
    """The arrays of a CSV of tracks, its rows and columns in any order; a track's query is its first visible row."""
    with path.open(encoding="utf-8-sig") as file:
        header = [name.strip().lower() for name in file.readline().split(",")]
        missing = [name for name in CSV_COLUMNS if name not in header]
        if missing:
            raise OmnitrackError(
                f"{path} is not a file of tracks: its first line has no column {', '.join(missing)}",
                f"the columns are {','.join(CSV_COLUMNS)}",
            )
        lines = [line for line in file if line.strip()]
    if not lines:
        raise OmnitrackError(f"{path} has no rows under its header", "give a file that query wrote")
    if not lines[-1].endswith("\n"):
        raise OmnitrackError(f"{path} is truncated: its last line has no end", "if it is whole, end its last line")
    rows = np.loadtxt(lines, delimiter=",", ndmin=2, usecols=[header.index(name) for name in CSV_COLUMNS])
    whole = rows[:, (0, 1, 4)]
    if (whole != np.floor(whole)).any():
        raise OmnitrackError(f"{path}: track, frame and visible must be whole numbers")
    ids, row = np.unique(rows[:, 0], return_inverse=True)
    frames, column = np.unique(rows[:, 1], return_inverse=True)
    if len(rows) != len(ids) * len(frames) or len(np.unique(row * len(frames) + column)) < len(rows):
        raise OmnitrackError(
            f"{path} is truncated or has rows twice: {len(rows)} rows for {len(ids)} tracks over {len(frames)} frames",
            "it needs one row per track and frame",
        )
    grid = np.empty((len(ids), len(frames), 4))
    grid[row, column] = rows[:, 2:]
    visible = grid[..., 2] != 0
    first = visible.argmax(axis=1)
    points = grid[..., :2]
    return {
        "queries": np.column_stack([frames[first], points[np.arange(len(ids)), first]]),
        "tracks": points,
        "visible": visible,
        "confidence": grid[..., 3],
        "frames": frames,
    }


def write_json(tracks: Tracks, file: BinaryIO) -> None:
    """Write one object: format, size, fps, frames and meta, then queries, tracks, visible, confidence and depth."""
    head = {
        "format": JSON_FORMAT,
        "size": tracks.size,
        "fps": tracks.fps,
        "frames": tracks.frames.tolist(),
        "meta": tracks.meta,
    }
    file.write(json.dumps(head)[:-1].encode())
    for key in ("queries", "tracks", "visible", "confidence", "depth"):
        file.write(f',\n"{key}": ['.encode())
        for index, values in enumerate(getattr(tracks, key)):
            # Track by track: the nested lists of a whole dense query would take many times its memory.
            file.write(((",\n" if index else "\n") + json.dumps(_plain(values))).encode())
        file.write(b"]")
    file.write(b"}\n")


def read_json(path: Path) -> dict[str, object]:
    """The arrays of a JSON file of tracks; its null depths become NaN."""
    raw = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(raw, dict):
        raise OmnitrackError(f"{path} is not a file of tracks: it is not a JSON object", "give a file that query wrote")
    return {**raw, "meta": json.dumps(raw.get("meta", {}))}


def _plain(values: NDArray) -> list[object]:
    """Nested lists with null for NaN and infinity, which JSON has no word for."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        known = np.isfinite(values)
        values = values.astype(object)
        values[~known] = None
    plain: list[object] = values.tolist()
    return plain
