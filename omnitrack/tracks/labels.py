"""Labels of tracks: the name of each track, from a text table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.text_tables import TextTable, read_lines, read_text_table

LABEL_COLUMNS = ("label", "name")
TRACK_COLUMN = "track"
EXAMPLE = "its first line is track,label, or label alone with a line for each track in order"


def read_labels(path: Path, count: int) -> list[str]:
    """Read the label of each of `count` tracks; empty if the table has none.

    Several tracks may have the same label. If a table has several rows per track, as a .csv of tracks has, these rows
    must agree.

    Args:
        path: A table with a column ``label`` (or ``name``) and optionally ``track``, indexed from 0; without ``track``
            there is one row per track, in order.
        count: Number of tracks.

    Raises:
        OmnitrackError: The file cannot be read, has no such column, or its tracks do not match.
    """
    if not path.is_file():
        raise OmnitrackError(f"there are no labels at {path}", f"write a table: {EXAMPLE}")
    lines = [text.strip().strip('"') for _, text in read_lines(path).lines]
    if lines and lines[0].lower() in LABEL_COLUMNS:  # a plain list; its labels may contain spaces
        labels = lines[1:]
        _check_count(path, len(labels), count)
    else:
        labels = _by_track(read_text_table(path), count)
    if not any(labels):
        raise OmnitrackError(f"{path} has no label in it", EXAMPLE)
    return labels


def _by_track(table: TextTable, count: int) -> list[str]:
    column = next((table.header.index(name) for name in LABEL_COLUMNS if name in table.header), None)
    if column is None:
        raise OmnitrackError(f"{table.path} has no column label", EXAMPLE)
    labels = [""] * count
    for row, track in _rows(table, count):
        label = table.rows[row][column] if column < len(table.rows[row]) else ""
        if labels[track] and labels[track] != label:
            raise OmnitrackError(
                f"{table.place(row)}: track {track} is {label!r}, and was {labels[track]!r} before",
                "give each track one label",
            )
        labels[track] = label
    return labels


def _rows(table: TextTable, count: int) -> Iterator[tuple[int, int]]:
    """Yield each row and its track."""
    if TRACK_COLUMN not in table.header:
        _check_count(table.path, len(table.rows), count)
        yield from ((row, row) for row in range(count))
        return
    numbers = table.numbers([table.header.index(TRACK_COLUMN)])[:, 0].tolist()
    for row, number in enumerate(numbers):
        if not (0 <= number < count and number == int(number)):
            raise OmnitrackError(
                f"{table.place(row)}: there is no track {number:g}, the tracks are 0 to {count - 1}",
                "count tracks from 0",
            )
        yield row, int(number)


def _check_count(path: Path, found: int, count: int) -> None:
    if found != count:
        raise OmnitrackError(f"{path} has {found} labels, there are {count} tracks", EXAMPLE)
