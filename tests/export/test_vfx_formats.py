"""Layouts for After Effects, Nuke, Blender and USD, and what their own readers return."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from read_back import added_markers, added_nulls, blender_markers, keys, knobs

from omnitrack.errors import OmnitrackError
from omnitrack.tracks.tracks import Tracks

Saved = Callable[..., Path]


# --- After Effects ----------------------------------------------------------------------------------------------
def test_after_effects_script(saved: Saved) -> None:
    text = saved("tracks.jsx").read_text()
    assert "var width = 100, height = 50, fps = 10;" in text
    first, second = added_nulls(text)
    # frame 5 is at 0.5 s of footage; the centre of pixel (10, 20) is half a pixel further from the composition's corner
    assert first == ("track_0000", [5, 6, 7, 8], [10.5, 20.5, 13.5, 24.5, 16.5, 28.5, 19.5, 32.5], [], [])
    assert second == ("track_0001", [5, 6, 7, 8], [0.5, 0.5, 0.5, 1.5, 0.5, 2.5, 0.5, 3.5], [5, 7, 8], [100, 0, 100])
    _, dropped = added_nulls(saved("drop.jsx", hidden="drop").read_text())
    assert dropped[1:] == ([5, 6, 8], [0.5, 0.5, 0.5, 1.5, 0.5, 3.5], [], [])


SCRIPT_HOST = """
var made = [], KeyframeInterpolationType = {HOLD: 6614};
function Property() { this.keys = []; }
Property.prototype.setValuesAtTimes = function (times, values) { this.keys.push([times, values]); };
Property.prototype.setValueAtTime = function (time, value) { this.keys.push([time, value]); };
Property.prototype.setInterpolationTypeAtKey = function (k, type) { this.keys[k - 1].push(type); };
function CompItem() { this.width = 200; this.height = 100; this.duration = 4; }
CompItem.prototype.layers = {addNull: function () {
  var layer = {properties: {}, property: function (name) {
    return this.properties[name] = this.properties[name] || new Property();
  }};
  made.push(layer); return layer;
}};
var app = {project: {activeItem: new CompItem()}, beginUndoGroup: function () {}, endUndoGroup: function () {}};
"""


def test_after_effects_script_runs(saved: Saved, tmp_path: Path) -> None:
    """Under node, with stand-ins for After Effects' objects: in a composition of twice the size, coordinates double."""
    script = tmp_path / "host.js"
    report = "console.log(JSON.stringify(made.map(function (l) { return [l.name, l.properties]; })));"
    script.write_text(SCRIPT_HOST + saved("tracks.jsx", names=('a "b"', "c")).read_text() + report)
    try:
        done = subprocess.run(["node", str(script)], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("node is not installed")
    (name, first), (_, second) = json.loads(done.stdout)
    assert name == 'a "b"'
    assert first["Position"]["keys"] == [[[0.5, 0.6, 0.7, 0.8], [[21, 41], [27, 49], [33, 57], [39, 65]]]]
    assert second["Opacity"]["keys"] == [[0.5, 100, 6614], [0.7, 0, 6614], [0.8, 100, 6614]]


def test_after_effects_keyframes(saved: Saved) -> None:
    text = saved("tracks.txt").read_text()
    blocks = text.split("Adobe After Effects 8.0 Keyframe Data\n")[1:]
    assert len(blocks) == 2
    assert blocks[1] == (
        "\n\tUnits Per Second\t10\n\tSource Width\t100\n\tSource Height\t50\n\tSource Pixel Aspect Ratio\t1\n"
        "\tComp Pixel Aspect Ratio\t1\n\nTransform\tPosition\n\tFrame\tX pixels\tY pixels\tZ pixels\t\n"
        "\t5\t0.5000\t0.5000\t0\t\n\t6\t0.5000\t1.5000\t0\t\n\t8\t0.5000\t3.5000\t0\t\n\nEnd of Keyframe Data\n"
    )


# --- Nuke -------------------------------------------------------------------------------------------------------
def test_nuke_tracker(saved: Saved) -> None:
    name, found = knobs(saved("tracks.nk", names=("a [b] $c", "d")))
    assert name == "Tracker4" and found["reference_frame"] == "6"
    (kind, columns, count), header, rows = found["tracks"]
    assert (kind, columns, count) == ("1", "31", "2") and len(header) == 31
    first, second = rows
    assert len(first) == len(second) == 31  # one value per column
    assert [first[1], second[1]] == ["a [b] $c", "d"]
    # frame 5 of a video is the sixth; 20 pixels below the centre of the top row of 50: 29.5 above the bottom edge
    assert keys(first[2]) == {6: 10.5, 7: 13.5, 8: 16.5, 9: 19.5}
    assert keys(first[3]) == {6: 29.5, 7: 25.5, 8: 21.5, 9: 17.5}
    assert keys(first[0]) == {6: 1} and keys(second[0]) == {6: 1, 8: 0, 9: 1}
    assert keys(second[3]) == {6: 49.5, 7: 48.5, 8: 47.5, 9: 46.5}


def test_nuke_tracker_hidden_and_frames(saved: Saved) -> None:
    rows = knobs(saved("drop.nk", hidden="drop", first_frame=1001))[1]["tracks"][2]
    assert keys(rows[1][3]) == {1006: 49.5, 1007: 48.5, 1009: 46.5}
    rows = knobs(saved("hold.nk", hidden="hold"))[1]["tracks"][2]
    assert keys(rows[1][3]) == {6: 49.5, 7: 48.5, 8: 48.5, 9: 46.5}


def test_nuke_without_anything_visible(straight_tracks: Tracks, tmp_path: Path) -> None:
    straight_tracks.save(tmp_path / "t.nk", hidden="drop", min_confidence=1.0)
    first = knobs(tmp_path / "t.nk")[1]["tracks"][2][0]
    assert keys(first[2]) == {6: 10.5}
    with pytest.raises(OmnitrackError, match="none of the tracks is seen"):
        hidden = straight_tracks.visible & False
        Tracks(**{**vars(straight_tracks), "visible": hidden}).save(tmp_path / "t.nk", "nuke-transform")


def four_tracks() -> Tracks:
    """The corners of a rectangle of 40 x 20 pixels, top left first and clockwise, that turns and grows."""
    corners = np.array([[20, 10], [60, 10], [60, 30], [20, 30]], float)
    paths = np.stack([moved(corners, t) for t in range(3)], 1).astype(np.float32)
    seen, queries = np.ones((4, 3), bool), np.column_stack([np.zeros(4), corners]).astype(np.float32)
    return Tracks(queries, paths, seen, seen.astype(np.float32), seen.astype(np.float32), np.arange(3), (100, 50), 24.0)


def moved(points: NDArray[np.float64], t: int) -> NDArray[np.float64]:
    """Turn clockwise on the screen by 0.1 t about (40, 20), scale by 1.1 ** t, and move 2 t to the right."""
    turn = np.array([[np.cos(0.1 * t), -np.sin(0.1 * t)], [np.sin(0.1 * t), np.cos(0.1 * t)]])
    return (points - [40, 20]) @ turn.T * 1.1**t + [40 + 2 * t, 20]


def test_nuke_corner_pin(tmp_path: Path) -> None:
    four_tracks().save(tmp_path / "pin.nk", "nuke-cornerpin")
    name, found = knobs(tmp_path / "pin.nk")
    assert name == "CornerPin2D"
    # bottom left, bottom right, top right, top left, y up
    assert [found[f"from{i}"] for i in (1, 2, 3, 4)] == [
        ["20.5000", "19.5000"], ["60.5000", "19.5000"], ["60.5000", "39.5000"], ["20.5000", "39.5000"],
    ]  # fmt: skip
    x, y = moved(np.array([20.0, 30.0]), 2) + 0.5
    assert keys(found["to1"][0])[3] == pytest.approx(x, abs=1e-4)
    assert keys(found["to1"][1])[3] == pytest.approx(50 - y, abs=1e-4)


def test_nuke_transform(tmp_path: Path) -> None:
    """Nuke's Transform, computed as its manual describes, moves every point of the first frame to its position."""
    four_tracks().save(tmp_path / "move.nk", "nuke-transform")
    name, found = knobs(tmp_path / "move.nk")
    assert name == "Transform"
    centre = np.array(found["center"], float)
    shift = np.array([keys(curve)[3] for curve in found["translate"]])
    angle = np.radians(keys(found["rotate"][0])[3])  # counter-clockwise, y up
    scale = keys(found["scale"][0])[3]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[20, 10], [60, 10], [60, 30]], float)
    upward = np.array([0.5, 49.5]) + corners * [1, -1]
    there = (upward - centre) @ turn.T * scale + centre + shift
    assert_allclose(there, np.array([0.5, 49.5]) + moved(corners, 2) * [1, -1], atol=1e-3)
    assert np.degrees(angle) == pytest.approx(-11.459, abs=1e-3)


def test_nuke_corner_pin_needs_four(saved: Saved) -> None:
    with pytest.raises(OmnitrackError, match="takes 4 tracks, not 2"):
        saved("pin.nk", "nuke-cornerpin")


# --- Blender ----------------------------------------------------------------------------------------------------
def test_blender_script(saved: Saved) -> None:
    text = saved("tracks.py").read_text()
    compile(text, "tracks.py", "exec")
    found = added_markers(text)
    assert found["track_0000"] == [(6, 0.105, 0.59, 0), (7, 0.135, 0.51, 0), (8, 0.165, 0.43, 0), (9, 0.195, 0.35, 0)]
    assert found["track_0001"] == [(6, 0.005, 0.99, 0), (7, 0.005, 0.97, 0), (8, 0.005, 0.95, 1), (9, 0.005, 0.93, 0)]
    # dropped: a disabled marker where a visible part ends, at its last position
    dropped = added_markers(saved("drop.py", hidden="drop").read_text())["track_0001"]
    assert dropped == [(6, 0.005, 0.99, 0), (7, 0.005, 0.97, 0), (8, 0.005, 0.97, 1), (9, 0.005, 0.93, 0)]


def test_blender_reads_it(saved: Saved) -> None:
    try:
        found = blender_markers(saved("tracks.py", hidden="drop"), (100, 50))
    except ImportError:
        pytest.skip("bpy is not installed")
    markers = np.array(found["track_0000"])
    assert_allclose(markers[:, 0], [6, 7, 8, 9])
    assert_allclose(markers[:, 1:3], [[0.105, 0.59], [0.135, 0.51], [0.165, 0.43], [0.195, 0.35]], atol=1e-6)
    assert [(frame, mute) for frame, _, _, mute in found["track_0001"]] == [(6, 0), (7, 0), (8, 1), (9, 0)]


# --- USD --------------------------------------------------------------------------------------------------------
def test_usd_layout(saved: Saved) -> None:
    text = saved("tracks.usda").read_text()
    assert text.startswith("#usda 1.0\n") and "startTimeCode = 6" in text and "timeCodesPerSecond = 10" in text
    assert "        6: [(10.5000, 29.5000, 0), (0.5000, 49.5000, 0)],\n" in text
    assert "        8: [1, 0],\n" in text
    dropped = saved("drop.usda", hidden="drop").read_text()
    assert "        8: [(16.5000, 21.5000, 0)],\n" in dropped and "        8: [0],\n" in dropped


def test_usd_reads_it(saved: Saved, reader: Callable[[str], Any]) -> None:
    usd, geometry = reader("pxr.Usd"), reader("pxr.UsdGeom")
    stage = usd.Stage.Open(str(saved("tracks.usda", names=("naïve", 'a "b"'))))
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode(), stage.GetTimeCodesPerSecond()) == (6, 9, 10)
    points = geometry.Points(stage.GetDefaultPrim())
    assert_allclose(np.array(points.GetPointsAttr().Get(7)), [[13.5, 25.5, 0], [0.5, 48.5, 0]], atol=1e-4)
    assert list(points.GetIdsAttr().Get(7)) == [0, 1]
    primvars = geometry.PrimvarsAPI(points)
    visible = primvars.GetPrimvar("visible")
    assert visible.GetInterpolation() == "vertex" and list(visible.Get(8)) == [True, False]
    assert list(primvars.GetPrimvar("names").Get()) == ["naïve", 'a "b"']
