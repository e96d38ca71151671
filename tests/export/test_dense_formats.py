"""Layouts of motion maps: STMaps and motion vectors as EXR, .flo, KITTI's PNG, the camera's motion."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from omnitrack.drawing.enlarge import enlarge_motion
from omnitrack.errors import OmnitrackError
from omnitrack.export.camera import CameraMotion, camera_json, camera_nuke
from omnitrack.export.exr import FLOAT, HALF, motion_vectors, stmap, write_exr
from omnitrack.export.flow_files import flo, kitti

FLOW = np.array([[[1.5, -2], [0, 0], [np.nan, 0]], [[-3, 4.25], [600, 0], [0.25, -0.25]]], np.float32)


def test_stmap_that_moves_nothing() -> None:
    """The same as Nuke's own identity: pixel centres of a frame of 4 x 2, from the bottom left corner."""
    places = np.stack(np.meshgrid(np.arange(4), np.arange(2)), -1).astype(np.float32)
    found = stmap(places, np.ones((2, 4), np.float32))
    assert_allclose(found["R"], [[0.125, 0.375, 0.625, 0.875]] * 2)
    assert_allclose(found["G"], [[0.75] * 4, [0.25] * 4])
    assert not found["B"].any() and found["A"].all()


def test_motion_vectors_have_v_up() -> None:
    forward, backward = np.full((1, 1, 2), (3.0, 2.0)), np.full((1, 1, 2), (-1.0, -4.0))
    found = {name: float(values[0, 0]) for name, values in motion_vectors(forward, backward).items()}
    assert found == {"forward.u": 3.0, "forward.v": -2.0, "backward.u": -1.0, "backward.v": 4.0}


@pytest.mark.parametrize(("bits", "kind"), [(HALF, np.float16), (FLOAT, np.float32)])
def test_openexr_reads_it(bits: int, kind: type, tmp_path: Path, reader: Callable[[str], Any]) -> None:
    package = reader("OpenEXR")
    values = np.linspace(0, 1, 12).reshape(3, 4)
    write_exr(tmp_path / "a.exr", {"R": values, "forward.u": -values}, bits)
    with package.File(str(tmp_path / "a.exr"), separate_channels=True) as file:
        found = {name: channel.pixels for name, channel in file.channels().items()}
    assert set(found) == {"R", "forward.u"} and found["R"].dtype == kind
    assert_allclose(found["forward.u"], -values.astype(kind))


def test_exr_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    with pytest.raises(OmnitrackError, match="EXR picture needs the package OpenEXR, which is not inst") as caught:
        write_exr(tmp_path / "a.exr", {"R": np.zeros((1, 1))}, FLOAT)
    assert caught.value.hint == 'pip install "omnitrack-video[exr]"'


def test_flo(tmp_path: Path) -> None:
    data = flo(FLOW)
    assert struct.unpack("<fii", data[:12]) == (202021.25, 3, 2) and data[:4] == b"PIEH"
    assert struct.unpack("<12f", data[12:])[:4] == (1.5, -2.0, 0.0, 0.0)
    assert min(struct.unpack("<12f", data[12:])[4:6]) > 1e9  # unknown
    (tmp_path / "a.flo").write_bytes(data)
    read = cv2.readOpticalFlow(str(tmp_path / "a.flo"))
    known = np.isfinite(FLOW).all(-1)
    assert_allclose(read[known], FLOW[known])


def test_kitti(tmp_path: Path) -> None:
    valid = np.isfinite(FLOW).all(-1)
    valid[1, 2] = False
    picture = cv2.imdecode(np.frombuffer(kitti(FLOW, valid), np.uint8), cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert picture.dtype == np.uint16 and picture.shape == (2, 3, 3)
    assert picture[0, 0].tolist() == [32768 + 96, 32768 - 128, 1]
    assert picture[1, 0].tolist() == [32768 - 192, 32768 + 272, 1]
    for row, column in ((0, 2), (1, 1), (1, 2)):  # unknown, too large, not valid
        assert picture[row, column].tolist() == [0, 0, 0]


def camera() -> CameraMotion:
    """One step: enlarged by a tenth about (10, 20), then 3 to the right."""
    zoom = np.array([[1.1, 0, 10 - 11 + 3], [0, 1.1, 20 - 22], [0, 0, 1]])
    return CameraMotion(np.stack([np.eye(3), zoom]), np.array([1001, 1002]), 1001, (100, 50), 24.0)


def test_camera_json() -> None:
    found = json.loads(camera_json(camera()))
    assert (found["format"], found["size"], found["reference_frame"]) == ("omnitrack-camera-1", [100, 50], 1001)
    assert [frame["frame"] for frame in found["frames"]] == [1001, 1002]
    matrix = np.array(found["frames"][1]["matrix"])
    assert_allclose(matrix @ [10, 20, 1], [13, 20])


def test_camera_nuke() -> None:
    """The corner pin, as a map of the plane, moves the same point to the same position, y up."""
    text = camera_nuke(camera())
    corners = {}
    for line in text.splitlines():
        if line.startswith(("to", "from")):
            words = line.replace("{", " ").replace("}", " ").replace("curve", " ").split()
            corners[words[0]] = [float(word) for word in words[1:] if not word.startswith("x")]
    start = np.array([corners[f"from{i}"] for i in (1, 2, 3, 4)], np.float32)
    end = np.array([[corners[f"to{i}"][1], corners[f"to{i}"][3]] for i in (1, 2, 3, 4)], np.float32)
    plane = cv2.getPerspectiveTransform(start, end)
    there = plane @ [10.5, 50 - 20.5, 1]
    assert_allclose(there[:2] / there[2], [13.5, 50 - 20.5], atol=1e-3)


def test_motion_is_enlarged_smoothly_within_a_surface() -> None:
    """A turn about the middle, known in closed form, from cells of 4 x 4 pixels."""

    def turned(places: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
        return (places - middle) @ np.array([[0.0, 0.05], [-0.05, 0.0]])

    cells, pixels = (np.stack(np.meshgrid(np.arange(n), np.arange(n)), -1).astype(float) for n in (16, 64))
    moved, seen = enlarge_motion(turned(cells, 7.5), np.ones((16, 16), bool), (64, 64))
    inside = (slice(2, -2), slice(2, -2))  # beyond the centres of the outermost cells nothing is known
    assert_allclose(moved[inside], turned(pixels, 31.5)[inside], atol=1e-4)
    assert seen.min() == 1


def test_motion_stays_sharp_between_surfaces() -> None:
    moved = np.zeros((4, 8, 2))
    moved[:, 4:] = 20
    seen = np.zeros((4, 8), bool)
    seen[:, 4:] = True
    found, shown = enlarge_motion(moved, seen, (32, 16))
    assert set(np.unique(found)) == {0, 80}  # nothing moves by half
    assert_allclose(shown[0, 13:19], [0, 0.125, 0.375, 0.625, 0.875, 1], atol=1e-6)
