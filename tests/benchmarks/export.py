"""What do exports lose, how long do they take, and how large are they?

    python tests/benchmarks/export.py
    python tests/benchmarks/export.py --tracks 1000 --frames 48 --formats nuke,usd

Tracks are random, at 1920 x 1080, with a tenth of the points hidden. The error is measured on 100 of the tracks by the
last installed reader of the format in tests/export/read_back.py: the program that the format is for, if it is there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import FOLDER, Columns, Report, parser_of

from omnitrack.export.formats import BUILT_IN
from omnitrack.tracks.tracks import Tracks

sys.path.insert(0, str(FOLDER.parent / "export"))
from read_back import READERS

SIZE = (1920, 1080)
HIDDEN_SHARE = 0.1
READ_TRACKS = 100
COLUMNS: Columns = {
    "format": "{format}",
    "hidden points": "{hidden}",
    "first frame": "{first_frame}",
    "read back by": "{reader}",
    "largest error, px": lambda row: "" if row["error_px"] is None else f"{row['error_px']:.1e}",
    "seconds": "{seconds:.1f}",
    "MB": "{megabytes:.1f}",
}


def random_tracks(count: int, length: int) -> Tracks:
    """Return tracks of points that wander within the frame."""
    rng = np.random.default_rng(0)
    steps = rng.normal(0, 2, (count, length, 2)).astype(np.float32).cumsum(1)
    points = (steps + rng.uniform(0, SIZE, (count, 1, 2))).clip(0, np.array(SIZE) - 1).astype(np.float32)
    visible = rng.random((count, length)) >= HIDDEN_SHARE
    queries = np.column_stack([np.zeros(count), points[:, 0]]).astype(np.float32)
    confidence = rng.random((count, length)).astype(np.float32)
    return Tracks(queries, points, visible, confidence, confidence, np.arange(length), SIZE, 24.0)


def first(tracks: Tracks, count: int, seen: bool) -> Tracks:
    """Return the first tracks, unchanged or all visible."""
    fields = ("queries", "tracks", "visible", "confidence", "depth")
    few = replace(tracks, **{key: getattr(tracks, key)[:count] for key in fields})
    return replace(few, visible=np.ones_like(few.visible)) if seen else few


def rows(tracks: Tracks, names: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield one row per format."""
    for name in names:
        format = BUILT_IN[name]
        path = folder / f"tracks{format.suffix}"
        chosen = first(tracks, format.count, True) if format.count else tracks
        began = time.perf_counter()
        chosen.save(path, name)
        seconds, size = time.perf_counter() - began, path.stat().st_size / 1e6
        path.unlink()
        reader, error = read_back(first(tracks, READ_TRACKS, True), name, folder)
        yield {
            "format": f"`{name}`" + (f" ({format.count} tracks)" if format.count else ""),
            "seconds": seconds,
            "megabytes": size,
            "reader": reader,
            "error_px": error,
            "hidden": ", ".join(format.hidden),
            "first_frame": "of the image, or 1" if format.series_numbers else str(format.first_frame),
        }


def read_back(tracks: Tracks, name: str, folder: Path) -> tuple[str, float | None]:
    """Return the name of the reader, and the largest error; ("", None) if no reader is installed."""
    path = folder / f"few{BUILT_IN[name].suffix}"
    for reader, read in reversed(READERS.get(name, [])):
        tracks.save(path, name)
        try:
            return reader, float(np.abs(read(path, SIZE) - tracks.tracks).max())
        except ImportError:
            continue
        finally:
            path.unlink()
    return "", None


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--tracks", type=int, default=10000)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--formats", metavar="A,B", help="only these (all)")
    given = parser.parse_args()
    report = Report(given.json, tracks=given.tracks, frames=given.frames)
    table = report.table("formats", COLUMNS, names=4)
    with tempfile.TemporaryDirectory() as folder:
        tracks = random_tracks(given.tracks, given.frames)
        for row in rows(tracks, given.formats.split(",") if given.formats else list(BUILT_IN), Path(folder)):
            table.add(row)
    report.write()


if __name__ == "__main__":
    main()
