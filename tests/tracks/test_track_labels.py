"""Labels of tracks."""

from __future__ import annotations

from pathlib import Path

import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.labels import read_labels


def labels(folder: Path, text: str, count: int = 3) -> list[str]:
    path = folder / "names.csv"
    path.write_text(text, encoding="utf-8")
    return read_labels(path, count)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("track,label\n0,tree\n2,kite\n", ["tree", "", "kite"]),
        ("Label\ntree\ntree\nkite\n", ["tree", "tree", "kite"]),
        ('"name"\n"left eye"\n"right eye"\nnose\n', ["left eye", "right eye", "nose"]),
        ("track\tlabel\n0\tleft eye\n1\tright eye\n", ["left eye", "right eye", ""]),
        ("name;track\nball;1\n", ["", "ball", ""]),
        ("track,frame,x,y,label\n1,0,5,5,ball\n1,1,5,5,ball\n0,0,1,1,\n", ["", "ball", ""]),
    ],
)
def test_tables_of_labels(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert labels(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("track,colour\n0,red\n", "has no column label"),
        ("label\ntree\n", "has 1 labels, there are 3 tracks"),
        ("track,label\n0,a\n3,b\n", "line 3: there is no track 3, the tracks are 0 to 2"),
        ("track,label\n0.5,a\n", "there is no track 0.5"),
        ("track,label\n-1,a\n", "there is no track -1"),
        ("track,label\nx,a\n", "is not a number"),
        ("track,label\n0,a\n0,b\n", "track 0 is 'b', and was 'a' before"),
        ("track,label\n", "has no label in it"),
        ("", "has no column label"),
    ],
)
def test_tables_that_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(OmnitrackError, match=message) as caught:
        labels(tmp_path, text)
    assert caught.value.hint


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="there are no labels at"):
        read_labels(tmp_path / "names.csv", 1)
