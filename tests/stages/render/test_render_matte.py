"""A mask carried by the exact field of a scene: white where its object is visible, black elsewhere."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.motion.field import FieldTracks
from omnitrack.project.project import Project
from omnitrack.project.renders import read_renders
from omnitrack.settings import RenderSettings, Settings
from omnitrack.stages.render import render
from omnitrack.stages.render_inputs import RenderInputs
from omnitrack.synthetic import SyntheticScene


@pytest.fixture
def exact(scene: SyntheticScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scene itself instead of a fitted field."""

    class TrueField:
        num_frames = scene.num_frames

        def track(self, source: int, pixels: NDArray[np.floating], targets: list[int]) -> FieldTracks:
            tracks, visible = scene.tracks(np.column_stack([np.full(len(pixels), source), pixels]))
            return FieldTracks(tracks[:, targets], np.zeros_like(tracks[:, targets, 0]), visible[:, targets])

    monkeypatch.setattr("omnitrack.stages.fit.load_field", lambda project, device="auto": TrueField())


def disc_mask(path: Path) -> str:
    """Save the disc of frame 0, of radius 12.8 about (38, 32), where the pole (x from 42.7) does not occlude it."""
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    seen = (np.hypot(x - 38, y - 32) < 12.8) & (x < 42.7)
    cv2.imwrite(str(path), np.uint8(255) * seen)
    return f"{path}@0"


@pytest.mark.usefixtures("exact")
def test_a_matte_is_white_where_the_thing_is_seen(project: Project, tmp_path: Path) -> None:
    mask = disc_mask(tmp_path / "disc.png")
    settings = Settings(render=RenderSettings(side_by_side=False))
    report = render(project, settings, None, "matte", tmp_path / "out", inputs=RenderInputs(mask=mask))
    assert (report.style, report.frames, report.size) == ("matte", 6, (96, 64))
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    for t, path in enumerate(sorted((tmp_path / "out").glob("*.png"))):
        shown = cv2.imread(str(path)).astype(float) / 255
        assert np.ptp(shown, axis=-1).max() == 0
        # what was visible in frame 0 has moved 4 t to the right and turned by 0.02 t; the pole's x is from 42.7 to 53.3
        turned = np.array([[np.cos(0.02 * t), np.sin(0.02 * t)], [-np.sin(0.02 * t), np.cos(0.02 * t)]])
        back = (np.stack([x - 38 - 4 * t, y - 32], -1) @ turned.T) + (38, 32)
        expected = (np.hypot(back[..., 0] - 38, back[..., 1] - 32) < 12.8) & (back[..., 0] < 42.7)
        expected &= (x < 42.7) | (x > 53.3)
        inside = cv2.erode(np.uint8(expected), np.ones((5, 5), np.uint8)) > 0
        outside = cv2.dilate(np.uint8(expected), np.ones((5, 5), np.uint8)) == 0
        assert shown[inside].min(initial=1) > 0.95, t
        # single pixels that have just become visible are removed as specks
        assert (shown[outside][:, 0] > 0.05).mean() < 1e-3, t


@pytest.mark.usefixtures("exact")
def test_a_render_remembers_its_mask(project: Project, tmp_path: Path) -> None:
    inputs = RenderInputs(mask=disc_mask(tmp_path / "disc.png"))
    render(project, Settings(), None, "matte", project.renders_dir / "matte.mp4", inputs=inputs)
    assert inputs.words() == ["--mask", f"{tmp_path / 'disc.png'}@0"]
    assert RenderInputs.of_words([*inputs.words(), "--frame", "0"]) == inputs
    assert read_renders(project) == {}  # the test's field belongs to no stored fit


def test_a_matte_needs_its_mask(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--style matte needs a mask") as caught:
        render(project, Settings(), None, "matte", None)
    assert f"omnitrack render {project.root} --style matte --mask cat.png@0" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"--mask a.png@0 is for --style stabilise or matte, not for --style flow"):
        render(project, Settings(), None, "flow", None, inputs=RenderInputs(mask="a.png@0"))
    with pytest.raises(OmnitrackError, match="there is no mask at"):
        render(project, Settings(), None, "matte", None, inputs=RenderInputs(mask="nowhere.png@0"))
    cv2.imwrite(str(tmp_path / "black.png"), np.zeros((64, 96), np.uint8))
    with pytest.raises(OmnitrackError, match="is empty: no pixel of it is marked"):
        render(project, Settings(), None, "matte", None, inputs=RenderInputs(mask=f"{tmp_path / 'black.png'}@0"))
    with pytest.raises(OmnitrackError, match="on a frame that the project lacks"):
        mask = disc_mask(tmp_path / "disc.png").replace("@0", "@6")
        render(project, Settings(), None, "matte", None, inputs=RenderInputs(mask=mask))
