"""A drawing carried by the exact field of a scene: where it is, what occludes it, and which drawings are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.drawing.edit import carry_layer, lay_over, make_layer, without_specks
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.motion.field import FieldTracks
from omnitrack.project.project import Project
from omnitrack.project.renders import read_renders
from omnitrack.settings import InitSettings, RenderSettings, Settings
from omnitrack.stages.init import init_from_frames
from omnitrack.stages.render import render
from omnitrack.stages.render_canvas import Canvas
from omnitrack.stages.render_edit import Drawing, edit_painter, read_drawing
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.synthetic import Layer, SyntheticScene, occluder_scene, two_planes
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.shapes import rectangle

SETTINGS = Settings(
    render=RenderSettings(min_side=192, brightness=0.5, legend=False)
)  # frames are enlarged three times
INK = (255, 0, 255)  # far from every colour of the scene


class TrueField:
    """The scene itself instead of a fitted field; counts the points that it is asked for."""

    def __init__(self, scene: SyntheticScene) -> None:
        self.scene, self.num_frames, self.asked = scene, scene.num_frames, 0

    def track(self, source: int, pixels: NDArray[np.floating], targets: list[int]) -> FieldTracks:
        self.asked += len(pixels) * len(targets)
        tracks, visible = self.scene.tracks(np.column_stack([np.full(len(pixels), source), pixels]))
        return FieldTracks(tracks[:, targets], np.zeros_like(tracks[:, targets, 0]), visible[:, targets])


@pytest.fixture
def draw(
    project: Project, scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., NDArray[np.float64]]:
    """Render with a drawing: the share of the drawing in each pixel, (T, 192, 288), 1 where it is opaque."""
    monkeypatch.setattr("omnitrack.stages.fit.load_field", lambda project, device="auto": TrueField(scene))

    def run(frame: int, x: float, y: float, radius: float) -> NDArray[np.float64]:
        image = np.zeros((64 * 8, 96 * 8, 4), np.uint8)
        centre = tuple(round(16 * ((value + 0.5) * 8 - 0.5)) for value in (x, y))
        cv2.circle(image, centre, round(16 * 8 * radius), (*INK[::-1], 255), -1, cv2.LINE_8, 4)
        cv2.imwrite(str(tmp_path / "ink.png"), image)
        settings = replace(SETTINGS, render=replace(SETTINGS.render, frame=frame))
        report = render(project, settings, None, "edit", tmp_path / "out", inputs=RenderInputs(tmp_path / "ink.png"))
        assert (report.style, report.frames, report.points, report.size) == ("edit", 6, 0, (288, 192))
        shown = [cv2.imread(str(path))[..., ::-1].astype(float) for path in sorted((tmp_path / "out").glob("*.png"))]
        amounts = []
        for t, picture in enumerate(shown):
            plain = enlarged(scene.frame(t))
            amounts.append((plain[..., 1] - picture[..., 1]) / np.maximum(plain[..., 1], 1))  # the ink has no green
        return np.stack(amounts)

    return run


def enlarged(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
    return cv2.resize(frame, (288, 192), interpolation=cv2.INTER_CUBIC).astype(float)


def middle(amount: NDArray[np.float64]) -> list[float]:
    """Return the centre (x, y) of the visible drawing, in pixels of the working frames."""
    rows, columns = np.indices(amount.shape)
    weight = np.where(amount > 0.1, amount, 0)
    place = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    return ((place + 0.5) / 3 - 0.5).tolist()


def at(amount: NDArray[np.float64], x: float, y: float) -> float:
    return float(amount[round((y + 0.5) * 3 - 0.5), round((x + 0.5) * 3 - 0.5)])


def test_a_drawing_moves_with_the_disc_and_hides_behind_the_pole(draw: Callable[..., NDArray[np.float64]]) -> None:
    amounts = draw(0, 32, 32, 2)  # 6 pixels left of the disc's middle
    area = np.pi * (3 * 2) ** 2
    for t in (0, 1, 2):
        # the disc has moved 4 t to the right and turned by 0.02 t
        place = [38 + 4 * t - 6 * np.cos(0.02 * t), 32 - 6 * np.sin(0.02 * t)]
        assert middle(amounts[t]) == pytest.approx(place, abs=0.1)
        assert amounts[t].clip(0).sum() == pytest.approx(area, rel=0.1)
        assert at(amounts[t], *place) > 0.99  # opaque: the frame was not dimmed either
    assert amounts[3].clip(0).sum() < 0.3 * area  # at x = 44: only an edge of it is visible
    assert np.abs(amounts[4]).max() < 0.05  # at x = 48
    assert amounts[5].clip(0).sum() < 0.3 * area  # at x = 52, it appears on the other side
    assert np.abs(amounts[5][:, : 3 * 52]).max() < 0.05


def test_a_drawing_on_a_later_frame_is_carried_back(draw: Callable[..., NDArray[np.float64]]) -> None:
    amounts = draw(5, 62, 32, 2)  # 4 pixels right of the disc's middle
    place = [58 - 4 + 4 * np.cos(0.02), 32 - 4 * np.sin(0.02)]
    assert middle(amounts[4]) == pytest.approx(place, abs=0.1)
    assert np.abs(amounts[1]).max() < 0.05  # at x = 46, behind the pole


def test_a_drawing_on_the_background_is_covered_by_what_passes(draw: Callable[..., NDArray[np.float64]]) -> None:
    amounts = draw(0, 66, 24, 6)
    assert at(amounts[0], 64, 28) > 0.99
    assert at(amounts[5], 64, 28) < 0.05  # the disc about (58, 32) covers it
    for amount in amounts:
        assert at(amount, 69, 21) > 0.99  # never occluded
        assert np.abs(amount[:, : 3 * 52]).max() < 0.05  # nothing elsewhere


def test_what_was_hidden_under_a_drawing_does_not_carry_it(draw: Callable[..., NDArray[np.float64]]) -> None:
    amounts = draw(0, 48, 32, 3)  # on the pole; the disc's right part is behind it
    for amount in amounts:
        assert middle(amount) == pytest.approx([48, 32], abs=0.1)
        assert np.abs(amount[:, 3 * 55 :]).max() < 0.05


@pytest.mark.usefixtures("draw")
def test_the_drawn_frame_shows_the_drawing_exactly(project: Project, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 256, (192, 288, 4), np.uint8)
    image[..., 3] = rng.choice([0, 128, 255], (192, 288))
    cv2.imwrite(str(tmp_path / "noise.png"), image)
    settings = replace(SETTINGS, render=replace(SETTINGS.render, frame=2))
    render(project, settings, None, "edit", tmp_path / "out", inputs=RenderInputs(tmp_path / "noise.png"))
    alpha = image[..., 3:] / 255
    expected = enlarged(project.frame(2)) * (1 - alpha) + image[..., 2::-1] * alpha
    shown = cv2.imread(str(tmp_path / "out" / "000002.png"))[..., ::-1]
    assert np.abs(shown - expected).max() < 0.51


@pytest.mark.usefixtures("draw")
def test_the_stamp_knows_the_drawing(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(stamp={"format": 1})
    monkeypatch.setattr("omnitrack.project.checkpoint.newest_checkpoint", lambda project: Path("newest"))
    monkeypatch.setattr("omnitrack.project.checkpoint.load_checkpoint", lambda project: made)
    stamps = []
    for name, red in (("a", 200), ("b", 200), ("c", 201)):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), np.full((64, 96, 4), (0, 0, red, 255), np.uint8))
        render(project, SETTINGS, None, "edit", None, inputs=RenderInputs(path))
        stamps.append(read_renders(project)["edit.mp4"])
    assert [stamp.pop("drawing") for stamp in stamps] == [str(tmp_path / f"{name}.png") for name in "abc"]
    assert stamps[0] == stamps[1]  # the same drawing, wherever the file is
    assert stamps[0]["inputs"]["drawing"] != stamps[2]["inputs"]["drawing"]
    assert stamps[0]["inputs"]["fit"] == stamps[2]["inputs"]["fit"]
    assert (stamps[0]["settings"]["style"], stamps[0]["settings"]["frame"]) == ("edit", 0)


# --- which pixels are tracked for a drawing ---------------------------------------------------------------------
def thin_poles() -> SyntheticScene:
    """Two poles of three pixels in front of a plane that moves the other way: blocks of four pixels can miss them."""
    strip, background = two_planes((96, 64), 6).layers
    poles = [
        Layer(name, rectangle(-1.5, -99, 1.5, 99), strip.texture, lambda t, x=x: Similarity(x + 7 * t, 32))
        for name, x in (("left", 20), ("right", 45))
    ]
    return SyntheticScene((96, 64), 6, [*poles, background])


class HolesField(TrueField):
    """A field that is undefined at some of the pixels."""

    def track(self, source: int, pixels: NDArray[np.floating], targets: list[int]) -> FieldTracks:
        found = super().track(source, pixels, targets)
        found.pixels[(pixels.sum(-1) % 7 == 0)] = np.nan
        return found


def spots(*places: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return discs about (x, y) in pixels of the working frames, half transparent towards their centres."""
    image = np.zeros((192, 288, 4), np.uint8)
    for x, y, radius in places:
        cv2.circle(image, (3 * x + 1, 3 * y + 1), 3 * radius, (*INK, 255), -1)
        cv2.circle(image, (3 * x + 1, 3 * y + 1), 2 * radius, (*INK, 90), -1)
    return image


def whole_blocks() -> NDArray[np.uint8]:
    """Return a square whose edges are those of blocks of four pixels."""
    image = np.zeros((192, 288, 4), np.uint8)
    image[3 * 8 : 3 * 16, 3 * 72 : 3 * 80] = (*INK, 255)
    return image


@pytest.mark.parametrize("frame", [0, 3, 5])
@pytest.mark.parametrize(
    ("field", "image", "most"),
    [
        (TrueField(occluder_scene((96, 64), num_frames=6)), spots((34, 32, 2)), 0.35),  # on the disc at first
        (TrueField(occluder_scene((96, 64), num_frames=6)), spots((4, 4, 3), (90, 60, 3)), 0.35),  # in two corners
        (TrueField(occluder_scene((96, 64), num_frames=6)), spots((48, 32, 40)), 1.3),  # on most of the frame
        (TrueField(occluder_scene((96, 64), num_frames=6)), whole_blocks(), 0.35),  # its soft edge is outside them
        (TrueField(two_planes((96, 64), 6)), spots((40, 25, 5)), 0.5),  # across the edge of the strip
        (TrueField(thin_poles()), spots((20, 32, 3), (41, 12, 4), (66, 40, 2), (55, 50, 1)), 0.8),
        (HolesField(thin_poles()), spots((20, 32, 3), (66, 40, 3)), 1.3),
    ],
    ids=["disc", "corners", "large", "blocks", "edge", "thin", "holes"],
)
def test_the_picture_is_that_of_tracking_every_pixel(
    project: Project, field: TrueField, image: NDArray[np.uint8], most: float, frame: int
) -> None:
    canvas = Canvas(project, SETTINGS.render)
    layer, pixels = make_layer(image, canvas.size), np.argwhere(np.ones((64, 96)))[:, ::-1].astype(np.float32)
    paint = edit_painter(canvas, field, Drawing(image, frame))
    field.asked, others = 0, [t for t in range(6) if t != frame]
    shown = [paint(t) for t in others]
    assert field.asked < most * len(others) * len(pixels)
    for t, picture in zip(others, shown, strict=True):
        there = field.track(t, pixels, [frame])
        displacement = 3 * (there.pixels[:, 0] - pixels).reshape(64, 96, 2)
        cells = without_specks(displacement, there.visible.reshape(64, 96))
        np.testing.assert_array_equal(picture, lay_over(canvas.plain_frame(t), carry_layer(layer, *cells)))


# --- which drawings are accepted --------------------------------------------------------------------------------
def write(path: Path, size: tuple[int, int], channels: int = 4, dtype: Any = np.uint8) -> Path:
    cv2.imwrite(str(path), np.full((size[1], size[0], channels), np.iinfo(dtype).max, dtype))
    return path


@pytest.mark.parametrize("size", [(96, 64), (48, 32), (960, 640), (191, 128), (193, 128), (97, 64), (31, 20)])
def test_sizes_of_the_same_aspect_ratio(scene: SyntheticScene, tmp_path: Path, size: tuple[int, int]) -> None:
    init_from_frames(scene.frames(), tmp_path / "small", Settings(init=InitSettings(max_size=48)), 12.0, "occluder")
    small = Project(tmp_path / "small")
    assert (small.size, small.meta.original_size) == ((48, 32), (96, 64))
    assert read_drawing(small, write(tmp_path / "a.png", size), 0).pixels.shape == (size[1], size[0], 4)


@pytest.mark.parametrize("size", [(64, 96), (96, 96), (99, 64), (195, 128), (192, 132)])
def test_another_aspect_ratio_names_both_sizes(project: Project, tmp_path: Path, size: tuple[int, int]) -> None:
    with pytest.raises(OmnitrackError, match=f"is {size[0]}x{size[1]}, the video is 96x64") as caught:
        read_drawing(project, write(tmp_path / "a.png", size), 0)
    assert caught.value.hint


def test_a_drawing_of_16_bits(project: Project, tmp_path: Path) -> None:
    pixels = read_drawing(project, write(tmp_path / "deep.png", (96, 64), dtype=np.uint16), 0).pixels
    assert pixels.dtype == np.uint16
    assert pixels.max() == 65535


@pytest.mark.parametrize("mode", ["P", "LA", "RGBA"])
def test_ways_to_store_transparency(project: Project, tmp_path: Path, mode: str) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.zeros((64, 96, 4), np.uint8)
    pixels[10:20, 30:50] = (90, 90, 90, 255)
    drawn = image.fromarray(pixels)
    (drawn.quantize(4) if mode == "P" else drawn.convert(mode)).save(tmp_path / "a.png")
    read = read_drawing(project, tmp_path / "a.png", 0).pixels
    np.testing.assert_array_equal(read, pixels)


def test_drawings_that_cannot_be_used(project: Project, tmp_path: Path) -> None:
    def refused(path: Path, frame: int = 0) -> str:
        with pytest.raises(OmnitrackError) as caught:
            read_drawing(project, path, frame)
        assert caught.value.hint
        return f"{caught.value.message} / {caught.value.hint}"

    assert "there is no drawing at" in refused(tmp_path / "nowhere.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    assert "damaged or not an image" in refused(tmp_path / "broken.png")
    opaque = refused(write(tmp_path / "opaque.png", (96, 64), channels=3))
    assert "has no alpha channel" in opaque
    assert "RGBA PNG" in opaque
    cv2.imwrite(str(tmp_path / "empty.png"), np.zeros((64, 96, 4), np.uint8))
    assert "fully transparent" in refused(tmp_path / "empty.png")
    cv2.imwrite(str(tmp_path / "float.tiff"), np.ones((64, 96, 4), np.float32))
    assert "no fixed range" in refused(tmp_path / "float.tiff")
    good = write(tmp_path / "good.png", (96, 64))
    for frame in (-1, 6):
        assert f"there is no frame {frame} " in refused(good, frame)
        assert "frames are 0 to 5" in refused(good, frame)


def test_a_drawing_is_read_before_the_field(project: Project, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="there is no drawing"):  # not: there is no fit
        render(project, SETTINGS, None, "edit", None, inputs=RenderInputs(tmp_path / "nowhere.png"))
    with pytest.raises(OmnitrackError) as caught:
        render(project, SETTINGS, None, "edit", None, inputs=RenderInputs(write(tmp_path / "good.png", (96, 64))))
    assert "no fitted field" in str(caught.value)


def test_the_style_and_its_drawing_belong_together(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--style edit needs a drawing") as caught:
        render(project, SETTINGS, None, "edit", None)
    assert "--edit logo.png" in str(caught.value.hint)
    with pytest.raises(UsageError, match="is for --style edit, not for --style depth") as caught:
        render(project, SETTINGS, None, "depth", None, inputs=RenderInputs(write(tmp_path / "good.png", (96, 64))))
    assert "--style edit" in str(caught.value.hint)
