"""``frames.json``: every invalid part of it is named, in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.project.frames_meta import FramesMeta, read_meta, write_meta

META = FramesMeta("clip.mp4", 3, 12.0, (64, 48), (128, 96), [0, 1, 2], "f00d", cuts=[2])


def changed(folder: Path, **values: Any) -> Path:
    """Write the file with other values and no checksum, as an earlier version did; None omits a value."""
    write_meta(folder, META)
    path = folder / "frames.json"
    content = {**json.loads(path.read_text()), **values, "checksum": None}
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_meta(tmp_path, META)
    assert read_meta(tmp_path / "frames.json") == META
    assert read_meta(changed(tmp_path)) == META


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"fps": None}, "does not say fps"),
        ({"size": None, "count": None}, "does not say count, size"),
        ({"checkstm": 1}, "says checkstm, which no frames have"),
        ({"size": 5}, "size is 5"),
        ({"size": [64, "48"]}, "size is [64, '48']"),
        ({"original_size": [64]}, "original_size is [64]"),
        ({"size": [0, 48]}, "size is [0, 48]"),
        ({"indices": 5}, "count is 3"),
        ({"indices": [0, 1]}, "count is 3"),
        ({"indices": [0, 2, 1]}, "index 1 comes after 2"),
        ({"fps": "12"}, "fps is 12"),
        ({"fps": True}, "fps is True"),
        ({"numbers": [1, 2]}, "numbers"),
        ({"cuts": 2}, "cuts"),
        ({"cuts": [3]}, "cuts"),
        ({"source": 7}, "no texts"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(DamagedError) as caught:
        read_meta(changed(tmp_path, **values))
    assert words in caught.value.message
    assert "omnitrack init" in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["", "[]", "5", "null", '"a"', "{", "[" * 100_000])
def test_what_is_no_object_is_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "frames.json"
    path.write_text(text)
    with pytest.raises(DamagedError, match="is damaged"):
        read_meta(path)


def test_a_name_that_was_flipped_is_found(tmp_path: Path) -> None:
    write_meta(tmp_path, META)
    path = tmp_path / "frames.json"
    path.write_text(path.read_text().replace("checksum", "checkstm"))
    with pytest.raises(DamagedError, match="checkstm"):
        read_meta(path)


def test_another_format_asks_for_another_version(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="reads format 1") as caught:
        read_meta(changed(tmp_path, format=2))
    assert "update omnitrack" in (caught.value.hint or "")
