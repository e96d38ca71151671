"""How a notebook displays tracks, and tracks as a DataFrame."""

from __future__ import annotations

import io
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

SVG = ".//svg"


@pytest.fixture
def tracks() -> Tracks:
    """Two tracks over four frames; the second is occluded in frames 1 and 2."""
    visible = np.array([[True, True, True, True], [True, False, False, True]])
    steps = np.arange(4, dtype=np.float32)[:, None] * (1, 2)
    return Tracks(
        queries=np.array([[0, 10, 20], [3, 33, 46]], np.float32),
        tracks=np.stack([np.add((10, 20), steps), np.add((30, 40), steps)]).astype(np.float32),
        visible=visible,
        confidence=np.where(visible, 0.75, 0.25).astype(np.float32),
        depth=np.zeros((2, 4), np.float32),
        frames=np.arange(4),
        size=(64, 48),
        fps=2.0,
        meta={"names": ["left <eye>", "right"]},
        pins=np.array([[1, 0, 30, 40]], np.float32),
    )


def parsed(tracks: Tracks) -> ElementTree.Element:
    """Return the displayed HTML, which must be well formed."""
    return ElementTree.fromstring(tracks._repr_html_().replace("<br>", "<br/>"))


def test_the_drawing_has_the_trajectories(tracks: Tracks) -> None:
    drawing = parsed(tracks).find(SVG)
    assert drawing is not None and drawing.get("viewBox") == "-0.5 -0.5 64 48"
    first, *hidden = [(path.get("d"), path.get("stroke-dasharray")) for path in drawing.findall("path")]
    assert first == ("M10.0 20.0L11.0 22.0L12.0 24.0L13.0 26.0", None)
    assert hidden == [("M30.0 40.0L31.0 42.0L32.0 44.0L33.0 46.0", "2 4")]  # visible in no two consecutive frames
    assert [(dot.get("cx"), dot.get("cy")) for dot in drawing.findall("circle")] == [("13.0", "26.0"), ("33.0", "46.0")]


def test_the_table_has_the_points(tracks: Tracks) -> None:
    rows = [[cell.text for cell in row] for row in parsed(tracks).findall(".//tr")]
    assert rows[0] == ["track", "name", "frame", "x", "y", "seen", "confidence"]
    assert rows[1] == ["0", "left <eye>", "0", "10.0", "20.0", "100%", "0.75"]
    assert rows[2] == ["1", "right", "3", "33.0", "46.0", "50%", "0.50"]


def test_many_tracks_are_shortened(tracks: Tracks) -> None:
    many = replace(
        tracks,
        queries=np.zeros((1000, 3), np.float32),
        tracks=np.zeros((1000, 4, 2), np.float32),
        visible=np.ones((1000, 4), bool),
        confidence=np.ones((1000, 4), np.float32),
    )
    shown = parsed(many)
    assert "1000 tracks (200 drawn), 4 frames, 64 x 48 pixels" in "".join(shown.itertext())
    assert len(shown.findall(".//circle")) == 200 and len(shown.findall(".//tr")) == 1 + 8 + 1


@pytest.mark.parametrize("count", [0, 1])
def test_few_frames_and_no_tracks_are_shown(tracks: Tracks, count: int) -> None:
    part = replace(
        tracks,
        queries=tracks.queries[:count],
        tracks=tracks.tracks[:count, :1],
        visible=tracks.visible[:count, :1],
        confidence=tracks.confidence[:count, :1],
        frames=tracks.frames[:1],
    )
    assert len(parsed(part).findall(".//circle")) == count


def test_what_is_not_finite_is_not_drawn(tracks: Tracks) -> None:
    places = tracks.tracks.copy()
    places[0, 1], places[1, 3] = np.nan, np.inf
    assert "nan" not in replace(tracks, tracks=places)._repr_html_() and len(parsed(replace(tracks, tracks=places))) > 1


def test_pandas_holds_what_the_csv_holds(tracks: Tracks, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason='pip install "omnitrack-video[notebook]"')
    frame = tracks.to_pandas()
    save_tracks(tracks, tmp_path / "t.csv")
    read = pandas.read_csv(io.StringIO((tmp_path / "t.csv").read_text()))
    assert list(frame.columns) == list(read.columns) and len(frame) == 8
    np.testing.assert_allclose(frame.astype(float), read.astype(float), atol=1e-4)
    assert frame.loc[frame.track == 1, "visible"].tolist() == [True, False, False, True]
    assert frame.time_s.tolist() == [0, 0.5, 1, 1.5] * 2 and frame.pinned.sum() == 1


def test_without_pandas_the_command_is_named(tracks: Tracks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(OmnitrackError, match="this needs the package pandas") as caught:
        tracks.to_pandas()
    assert caught.value.hint == 'pip install "omnitrack-video[notebook]"'
