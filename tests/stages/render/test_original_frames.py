"""The background of renders: the video's own frames if they are available, else the project's, with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import InitSettings, RenderSettings, Settings
from omnitrack.stages.init import init_project
from omnitrack.stages.original_frames import OriginalFrames
from omnitrack.stages.render import render
from omnitrack.synthetic import SyntheticScene, occluder_scene
from omnitrack.tracks.tracks import Tracks

Encode = Callable[..., Path]


class Notes(Progress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, text: str) -> None:
        self.heard.append(text)


@pytest.fixture(scope="module")
def large() -> SyntheticScene:
    return occluder_scene((320, 192), num_frames=6)


@pytest.fixture
def video(tmp_path: Path, large: SyntheticScene, encode_clip: Encode) -> Path:
    return encode_clip(tmp_path / "clip.mp4", large.frames())


def shrunk(video: Path, **more: int) -> Project:
    """Return a project whose frames have half the video's size."""
    root = video.parent / "project"
    init_project(video, root, Settings(init=InitSettings(max_size=160, **more)))
    return Project(root)


def error(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float:
    return float(np.abs(found.astype(float) - expected).mean())


def test_frames_of_the_video_at_its_size_in_any_order(video: Path, large: SyntheticScene) -> None:
    project = shrunk(video, start=1, stride=2)
    frames = OriginalFrames(project, Progress())
    assert (frames.size, project.size) == ((320, 192), (160, 96))
    for index in (0, 2, 2, 1):
        errors = [error(frames.frame(index), large.frame(t)) for t in range(6)]
        assert int(np.argmin(errors)) == 1 + 2 * index
        assert min(errors) < 6
    frames.close()


def test_a_render_has_the_size_of_the_video(video: Path) -> None:
    project = shrunk(video)
    queries = np.array([[0, 40, 40], [0, 280, 150]], np.float32)
    still = np.repeat(queries[:, None, 1:], 6, 1)
    seen = np.array([[True] * 6, [False] * 6])
    tracks = Tracks(queries, still, seen, 0.5 * seen, still[..., 0], np.arange(6), (320, 192), 12.0)
    for style in ("points", "trails", "confidence"):
        report = render(project, Settings(), tracks, style, None)
        assert report.size == (320, 192)
    tiny = replace(Settings(), render=RenderSettings(min_side=384))
    assert render(project, tiny, tracks, "points", None).size == (640, 384)


def test_a_video_that_is_gone_or_another_one_now_gives_way(video: Path, encode_clip: Encode) -> None:
    project = shrunk(video)
    video.unlink()
    for clip, words in (
        (None, "no"),
        (np.zeros((6, 192, 320, 3), np.uint8), "shows something else now"),
        (np.zeros((6, 100, 320, 3), np.uint8), "has another size now"),
    ):
        if clip is not None:
            encode_clip(video, clip)
        heard = Notes()
        frames = OriginalFrames(project, heard)
        assert frames.size == (160, 96)
        np.testing.assert_array_equal(frames.frame(3), project.frame(3))
        assert len(heard.heard) == 1 and words in heard.heard[0]
        frames.close()


def test_frames_of_their_own_size_are_the_project_s(project: Project) -> None:
    heard = Notes()
    np.testing.assert_array_equal(OriginalFrames(project, heard).frame(2), project.frame(2))
    assert heard.heard == []
