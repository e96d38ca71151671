"""What `init` stores about its input besides pixels: numbers, levels, blank frames, and what it reports about them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.progress import Progress
from omnitrack.project.project import Project
from omnitrack.settings import InitSettings, Settings
from omnitrack.stages.init import init_from_frames, init_project


class Recorder(Progress):
    """Records the messages of a stage."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def chosen(**values: float | str) -> Settings:
    return Settings(init=replace(InitSettings(), **values))  # type: ignore[arg-type]


def write_series(folder: Path, clip: NDArray[np.uint8], numbers: list[int]) -> Path:
    folder.mkdir()
    for number, frame in zip(numbers, clip, strict=True):
        cv2.imwrite(str(folder / f"shot.{number}.png"), frame)
    return folder


def test_the_numbers_of_a_series_are_kept(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    numbers = [1001, 1002, 1003, 1004, 1007, 1008, 1009, 1010]
    folder, progress = write_series(tmp_path / "gap", clip, numbers), Recorder()
    init_project(folder, tmp_path / "all", Settings(), progress)
    assert Project(tmp_path / "all").meta.numbers == numbers
    assert len(progress.warnings) == 1
    assert "no image 1005-1006" in progress.warnings[0]
    init_project(f"{folder}/shot.%04d.png", tmp_path / "some", chosen(start=1, stride=3), progress)
    assert Project(tmp_path / "some").meta.numbers == [1002, 1007, 1010]
    assert Project(tmp_path / "some").meta.indices == [1, 4, 7]


def test_frames_without_numbers_are_written_as_before(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    """A version of omnitrack without frame numbers reads such a project, and this version reads its projects."""
    init_from_frames(clip, tmp_path / "p", Settings(), 12.0, "clip")
    project = Project(tmp_path / "p")
    assert "numbers" not in json.loads(project.meta_path.read_text())
    assert project.meta.numbers is None


def test_blank_frames_are_named(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    progress = Recorder()
    clip[3:5], clip[7] = 0, 255
    init_from_frames(clip, tmp_path / "p", chosen(start=1), 12.0, "clip", progress)
    assert len(progress.warnings) == 1
    assert "frames 3-4, 7 of clip are of one colour" in progress.warnings[0]


def test_levels_are_said_and_written_with_the_project(tmp_path: Path) -> None:
    progress = Recorder()
    ramp = np.tile(np.linspace(0, 4095, 32).astype(np.uint16), (16, 1))
    cv2.imwritemulti(str(tmp_path / "cells.tif"), [ramp, np.roll(ramp, 2, 1)])
    init_project(tmp_path / "cells.tif", tmp_path / "auto", Settings(), progress)
    assert "uint16 values 0 to 4095 become 0 to 255" in progress.notes[0]
    assert Project(tmp_path / "auto").frame(0).max() == 255
    init_project(tmp_path / "cells.tif", tmp_path / "chosen", chosen(levels="0,8190"), progress)
    assert Project(tmp_path / "chosen").frame(0).max() == 128
    assert 'levels = "0,8190"' in Project(tmp_path / "chosen").settings_path.read_text()


def test_an_interlaced_video_is_kept_with_a_warning(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path]
) -> None:
    progress = Recorder()
    fields = ("-vf", "setfield=tff", "-flags", "+ilme+ildct", "-c:v", "libx264", "-x264opts", "tff=1")
    init_project(encode_clip(tmp_path / "clip.mp4", clip, *fields), tmp_path / "p", Settings(), progress)
    assert len(progress.warnings) == 1
    assert "-vf bwdif" in progress.warnings[0]
