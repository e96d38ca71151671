"""Labels of tracks: what each is called, from a table of text."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.text_tables import TextTable, read_text_table

LABEL_COLUMNS = ("label", "name")
TRACK_COLUMN = "track"
EXAMPLE = "its first line is track,label, or label alone with a line for each track in order"


def read_labels(path: Path, count: int) -> list[str]:
    """The label of each of `count` tracks; empty where the table has none.

    Several tracks may bear one label. Of a table with more rows for a track, as a .csv of tracks has them, the rows
    must agree.

    Args:
        path: A table with a column ``label`` (or ``name``) and perhaps ``track``, counted from 0; without it the rows
            are those of the tracks in order.
        count: Number of tracks.

    Raises:
        OmnitrackError: The file cannot be read, has no such column, or its tracks are not those.
    """
    if not path.is_file():
        raise OmnitrackError(f"there are no labels at {path}", f"write a table: {EXAMPLE}")
    table = read_text_table(path)
    column = next((table.header.index(name) for name in LABEL_COLUMNS if name in table.header), None)
    if column is None:
        raise OmnitrackError(f"{path} has no column label", EXAMPLE)
    labels = [""] * count
    for row, track in enumerate(_tracks(table, count)):
        label = table.rows[row][column] if column < len(table.rows[row]) else ""
        if labels[track] and labels[track] != label:
            raise OmnitrackError(
                f"{table.place(row)}: track {track} is {label!r}, and was {labels[track]!r} before",
                "give each track one label",
            )
        labels[track] = label
    if not any(labels):
        raise OmnitrackError(f"{path} has no label in it", EXAMPLE)
    return labels


def _tracks(table: TextTable, count: int) -> list[int]:
    """The track of each row."""
    rows = len(table.rows)
    if TRACK_COLUMN not in table.header:
        if rows != count:
            raise OmnitrackError(f"{table.path} has {rows} labels, there are {count} tracks", EXAMPLE)
        return list(range(rows))
    numbers = table.numbers([table.header.index(TRACK_COLUMN)])[:, 0]
    good = (numbers >= 0) & (numbers < count) & (numbers == np.floor(numbers))
    if not good.all():
        row = int(np.argmin(good))
        raise OmnitrackError(
            f"{table.place(row)}: there is no track {numbers[row]:g}, the tracks are 0 to {count - 1}",
            "count tracks from 0",
        )
    return [int(number) for number in numbers]
