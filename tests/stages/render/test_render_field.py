"""The styles that show the field itself, with the exact field of a synthetic scene."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.motion.ablation_models import PlanarField
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.field import FieldTracks
from omnitrack.motion.geometry import Camera
from omnitrack.project.project import Project
from omnitrack.settings import RenderSettings, Settings
from omnitrack.stages.render import render
from omnitrack.synthetic import SyntheticScene

SETTINGS = Settings(
    render=RenderSettings(min_side=192, brightness=0.5, legend=False)
)  # frames are enlarged three times


class TrueField:
    """The scene itself instead of a fitted field; its canonical volume is frame 0 and what is occluded in it."""

    def __init__(self, scene: SyntheticScene) -> None:
        self.scene, self.num_frames = scene, scene.num_frames

    def track(self, source: int, pixels: NDArray[np.floating], targets: list[int]) -> FieldTracks:
        queries = np.column_stack([np.full(len(pixels), source), pixels])
        tracks, visible = self.scene.tracks(queries)
        return FieldTracks(tracks[:, targets], np.zeros_like(tracks[:, targets, 0]), visible[:, targets])

    def depth_map(self, frame: int) -> NDArray[np.float32]:
        return self.scene.depth_order(frame).astype(np.float32)

    def canonical_map(self, frame: int) -> NDArray[np.float32]:
        width, height = self.scene.size
        pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2)
        places = self.track(frame, pixels, [0]).pixels[:, 0].reshape(height, width, 2)
        return np.dstack([places, self.depth_map(frame)])


class TrueColoredField(TrueField):
    """A field that reproduces the frames exactly."""

    def color_map(self, frame: int) -> NDArray[np.float32]:
        return self.scene.frame(frame).astype(np.float32) / 255

    def opaque_canonical_map(self, frame: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        width, height = self.scene.size
        opacity = np.where(np.arange(width) < width // 2, 1.0, 0.5)
        return self.canonical_map(frame), np.broadcast_to(opacity, (height, width)).astype(np.float32)


def fit(monkeypatch: pytest.MonkeyPatch, field: TrueField) -> None:
    monkeypatch.setattr("omnitrack.stages.fit.load_field", lambda project, device="auto": field)


@pytest.fixture
def fitted(scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(monkeypatch, TrueField(scene))


def pictures(folder: Path) -> list[NDArray[np.int64]]:
    return [cv2.imread(str(path))[..., ::-1].astype(int) for path in sorted(folder.glob("*.png"))]


@pytest.mark.usefixtures("fitted")
def test_flow_has_the_direction_of_the_motion(project: Project, tmp_path: Path) -> None:
    report = render(project, SETTINGS, None, "flow", tmp_path / "flow")
    assert (report.frames, report.points) == (6, 0)
    first, *_, last = pictures(tmp_path / "flow")
    for picture, x in ((first, 34), (last, 62)):  # on the disc, left and right of the pole
        disc = picture[96, 3 * x]
        assert disc[0] > 240  # it moves right: red
        assert disc[2] < 60
        assert picture[5, 5].min() > 250  # the rest is static: white


@pytest.mark.usefixtures("fitted")
def test_depth_orders_the_layers(project: Project, tmp_path: Path) -> None:
    render(project, SETTINGS, None, "depth", tmp_path / "depth")
    picture = pictures(tmp_path / "depth")[0]
    pole, disc, background = picture[20, 144], picture[96, 90], picture[5, 5]
    assert pole[0] > 2 * pole[2]  # red: nearest
    assert disc[1] > max(disc[0], disc[2])  # green: between
    assert background[0] < 100  # dark blue: farthest


@pytest.mark.usefixtures("fitted")
def test_a_surface_keeps_its_canonical_colour(project: Project, tmp_path: Path) -> None:
    report = render(project, SETTINGS, None, "canonical", tmp_path / "canonical")
    assert (report.frames, report.points, report.size) == (6, 0, (288, 192))
    shown = pictures(tmp_path / "canonical")
    background = np.stack([picture[12:51, 12:270] for picture in shown])  # above the disc, pole included
    assert np.ptp(background, axis=0).max() == 0
    for x, y in ((-9, 0), (-6, -3), (-8, 5)):  # on the disc, relative to its centre
        colours = []
        for t in (0, 1, 2):  # later the pole is in front
            cos, sin = np.cos(0.02 * t), np.sin(0.02 * t)
            place = np.array([38 + 4 * t + cos * x - sin * y, 32 + sin * x + cos * y])
            enlarged = ((place + 0.5) * 3 - 0.5).reshape(1, 1, 2).astype(np.float32)
            colours.append(cv2.remap(shown[t].astype(np.float32), enlarged, None, cv2.INTER_LINEAR)[0, 0])
        assert np.ptp(colours, axis=0).max() <= 6  # the edge of a square is a difference of 26
    assert np.abs(shown[0][30, 20] - shown[0][30, 260]).max() > 80  # distant positions have different colours


@pytest.mark.usefixtures("fitted")
def test_what_is_far_in_the_canonical_volume_is_darker(project: Project, tmp_path: Path) -> None:
    render(project, SETTINGS, None, "canonical", tmp_path / "canonical")
    first, *_, last = pictures(tmp_path / "canonical")
    disc, background = first[72:120, 84:120].mean((0, 1)), last[72:120, 84:120].mean((0, 1))
    assert (disc - background > 0.05 * background).all()  # the same x and y in the canonical volume, another z


def test_where_the_volume_is_thin_the_canonical_places_are_dark(
    project: Project, scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit(monkeypatch, TrueField(scene))
    render(project, SETTINGS, None, "canonical", tmp_path / "dense")
    fit(monkeypatch, TrueColoredField(scene))
    render(project, SETTINGS, None, "canonical", tmp_path / "half")
    dense, half = pictures(tmp_path / "dense")[2], pictures(tmp_path / "half")[2]
    np.testing.assert_array_equal(half[:, :140], dense[:, :140])
    np.testing.assert_allclose(half[:, 148:], dense[:, 148:] / 2, atol=0.6)


def test_rgb_shows_the_colours_of_the_field(
    project: Project, scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fit(monkeypatch, TrueColoredField(scene))
    assert render(project, SETTINGS, None, "rgb", tmp_path / "rgb").points == 0
    for t, picture in enumerate(pictures(tmp_path / "rgb")):
        enlarged = cv2.resize(scene.frame(t), (288, 192), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(picture, enlarged)  # not dimmed


def test_colours_out_of_range_are_clipped(
    project: Project, scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    field = TrueColoredField(scene)
    monkeypatch.setattr(field, "color_map", lambda frame: np.full((64, 96, 3), (-0.5, 0.5, 1.5), np.float32))
    fit(monkeypatch, field)
    render(project, SETTINGS, None, "rgb", tmp_path / "rgb")
    assert np.unique(pictures(tmp_path / "rgb")[3].reshape(-1, 3), axis=0).tolist() == [[0, 128, 255]]


@pytest.mark.usefixtures("fitted")
def test_a_field_without_colours_names_the_method_that_has_them(project: Project, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="knows motion but no colours") as caught:
        render(project, SETTINGS, None, "rgb", tmp_path / "rgb")
    assert str(caught.value.hint).endswith(f"omnitrack fit {project.root} --method omnimotion")
    assert not (tmp_path / "rgb").exists()


def test_a_field_without_colours_names_a_method_that_has_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = PlanarField(Camera((96, 64)), TimeFeatures(6, 1), (3,))
    monkeypatch.setattr("omnitrack.stages.fit.load_field", lambda project, device="auto": field)
    with pytest.raises(OmnitrackError, match="no colours") as caught:
        render(project, SETTINGS, None, "rgb", None)
    assert str(caught.value.hint).endswith("--method omnimotion")
