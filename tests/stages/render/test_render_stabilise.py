"""Clips of known motion, held still: what should be static is so within a tenth of a pixel."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.settings import InitSettings, RenderSettings, Settings
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.render import render
from omnitrack.stages.render_inputs import NOTHING, RenderInputs
from omnitrack.synthetic import SyntheticScene, occluder_scene, panorama_scene
from omnitrack.tracks.tracks import Tracks

SETTINGS = Settings(render=RenderSettings(legend=False))
STILL_PX = 0.1


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., NDArray[np.uint8]]:
    """Render a scene with its exact tracks instead of a fit: the frames, (T, H, W)."""

    def run(
        scene: SyntheticScene, inputs: RenderInputs = NOTHING, frame: int = 0, cuts: str = "none"
    ) -> NDArray[np.uint8]:
        def query(project: Project, queries: NDArray[Any], settings: Settings, frames: range, *_: Any) -> Tracks:
            pixels, visible = (part[:, frames.start : frames.stop] for part in scene.tracks(queries))
            zeros = np.zeros(visible.shape, np.float32)
            return Tracks(queries, pixels, visible, zeros, zeros, np.array(frames), scene.size, 12.0)

        monkeypatch.setattr("omnitrack.stages.render_stabilise.query_tracks", query)
        init = Settings(init=InitSettings(max_size=0, cuts=cuts))
        init_from_frames(scene.frames(), tmp_path / "clip", init, 12.0, "scene")
        settings = replace(SETTINGS, render=replace(SETTINGS.render, frame=frame))
        report = render(Project(tmp_path / "clip"), settings, None, "stabilise", tmp_path / "out", inputs=inputs)
        assert (report.style, report.points, report.frames) == ("stabilise", 0, scene.num_frames)
        return np.stack([grey(cv2.imread(str(path))[..., ::-1]) for path in sorted((tmp_path / "out").glob("*.png"))])

    return run


def grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def slip(reference: NDArray[np.uint8], picture: NDArray[np.uint8], part: tuple[slice, slice]) -> float:
    """Return how far a part has moved, in pixels: the shift with the best correlation (Evangelidis 2008)."""
    ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-6)
    one, other = (np.ascontiguousarray(image[part]) for image in (reference, picture))
    _, found = cv2.findTransformECC(one, other, np.eye(2, 3, dtype=np.float32), cv2.MOTION_TRANSLATION, ends, None, 1)
    return float(np.hypot(*found[:, 2]))


def test_the_measure_sees_half_a_pixel() -> None:
    picture = panorama_scene(num_frames=1).frame(0)[..., 0]
    moved = cv2.warpAffine(picture, np.array([[1, 0, 0.5], [0, 1, 0]], float), (160, 120))
    assert slip(picture, moved, np.s_[10:110, 10:150]) == pytest.approx(0.5, abs=0.05)


def test_a_point_stands_still(held: Callable[..., NDArray[np.uint8]]) -> None:
    scene = occluder_scene((160, 120), num_frames=20, turn=0.0)
    x, y = 50, 60  # on the disc, which moves by 4 px per frame
    on_disc = scene.tracks(np.array([[2.0, x, y]]))[0][0]
    assert abs(on_disc[3] - on_disc[2]).max() == pytest.approx(4)
    still = held(scene, RenderInputs(point=f"{x},{y}@2"))
    part = np.s_[y - 12 : y + 13, x - 12 : x + 13]
    for t in range(4):  # later it passes the pole
        assert slip(still[2], still[t], part) < STILL_PX
    assert np.array_equal(still[2], grey(scene.frame(2)))


def test_a_turning_thing_stands_still(held: Callable[..., NDArray[np.uint8]], tmp_path: Path) -> None:
    scene = occluder_scene((160, 120), num_frames=20, turn=0.04)
    mask = np.zeros((120, 160), np.uint8)
    seen = np.array([(x, y) for x in range(160) for y in range(120)], float)
    tracks, _ = scene.tracks(np.column_stack([np.zeros(len(seen)), seen]))
    goes = np.abs(tracks[:, 1] - tracks[:, 0]).max(-1) > 1
    mask[seen[goes, 1].astype(int), seen[goes, 0].astype(int)] = 255
    cv2.imwrite(str(tmp_path / "disc.png"), mask)
    still = held(scene, RenderInputs(mask=f"{tmp_path / 'disc.png'}@0"))
    x, y = np.rint(seen[goes].mean(0)).astype(int)
    part = np.s_[y - 12 : y + 13, x - 12 : x + 13]
    for t in range(4):
        assert slip(still[0], still[t], part) < STILL_PX
        assert np.abs(still[t][part].astype(float) - still[0][part]).mean() < 4  # it has not turned either


def test_the_camera_stands_still(held: Callable[..., NDArray[np.uint8]]) -> None:
    scene = panorama_scene(num_frames=40)  # a pan over more than a frame's width
    still = held(scene, frame=12)
    places = scene.tracks(np.array([[12.0, 2, 2]]))[0][0] - (2, 2)  # the background is one plane
    assert np.abs(places[:, 0]).max() > 60
    for t in range(40):
        shift = places[t]
        left, right = max(0, -shift[0]) + 6, min(160, 160 - shift[0]) - 6
        columns = slice(int(np.ceil(left)), int(right))
        if columns.stop - columns.start < 40:
            continue
        top = np.s_[6:50, columns], np.s_[70:114, columns]
        # the disc is in one half at most
        assert min(slip(still[12], still[t], part) for part in top) < STILL_PX, t


def test_other_shots_are_left_alone_by_a_point(held: Callable[..., NDArray[np.uint8]]) -> None:
    scene = occluder_scene((160, 120), num_frames=20)
    still = held(scene, RenderInputs(point="42,60@0"), cuts="4")
    plain = [grey(frame) for frame in scene.frames()]
    assert all(np.array_equal(still[t], plain[t]) for t in range(4, 20))
    assert not np.array_equal(still[3], plain[3])


def test_inputs_that_are_refused(held: Callable[..., NDArray[np.uint8]], tmp_path: Path) -> None:
    scene = occluder_scene((160, 120), num_frames=3)
    for inputs, frame, message in (
        (NOTHING, 3, "there is no frame 3 in project"),
        (RenderInputs(point="1,1@9"), 0, "project lacks"),
        (RenderInputs(point="1,1@0", mask="a.png@0"), 0, "cannot both stand still"),
        (RenderInputs(mask="nowhere.png@0"), 0, "there is no mask at nowhere.png"),
    ):
        with pytest.raises(OmnitrackError, match=message) as caught:
            held(scene, inputs, frame)
        assert caught.value.hint
        shutil.rmtree(tmp_path / "clip")
