"""A project directory: its coordinates by hand, and how a foreign or damaged one fails."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.project.frames_meta import FramesMeta, write_meta
from omnitrack.project.project import Project


@pytest.fixture
def copied(project: Project, tmp_path: Path) -> Project:
    """A copy of the project, to be damaged."""
    return Project(shutil.copytree(project.root, tmp_path / "copy"))


def message_of(root: Path) -> tuple[str, str]:
    with pytest.raises(OmnitrackError) as caught:
        Project(root)
    return caught.value.message, caught.value.hint or ""


def rewrite(project: Project, **changes: Any) -> None:
    raw = json.loads(project.meta_path.read_text(encoding="utf-8"))
    project.meta_path.write_text(json.dumps({**raw, **changes}), encoding="utf-8")


def test_original_pixels_by_hand(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    write_meta(frames, FramesMeta("clip.mp4", 2, 24.0, (320, 180), (1280, 720), [0, 1], "0" * 16))
    project = Project(tmp_path)
    assert project.scale.tolist() == [4, 4]
    # the left edge of the first working pixel, -0.5, is that of the first original one; its centre is at 1.5 there
    np.testing.assert_allclose(project.to_original(np.array([[-0.5, 0.0], [0.0, 179.5]])), [[-0.5, 1.5], [1.5, 719.5]])
    points = np.array([[3.25, 7.5], [1000.0, 0.0]])
    np.testing.assert_allclose(project.to_original(project.to_working(points)), points)


def test_no_directory(tmp_path: Path) -> None:
    message, hint = message_of(tmp_path / "nothing")
    assert "nothing" in message
    assert "omnitrack init" in hint


def test_a_directory_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    message, hint = message_of(tmp_path)
    assert "is not an omnitrack project" in message
    assert "omnitrack init" in hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 1, "size": "big"}', "\udcff"])
def test_damaged_meta(copied: Project, text: str) -> None:
    copied.meta_path.write_bytes(text.encode("utf-8", "surrogateescape"))
    message, hint = message_of(copied.root)
    assert str(copied.meta_path) in message
    assert "omnitrack init" in hint


def test_another_format(copied: Project) -> None:
    rewrite(copied, format=99)
    message, hint = message_of(copied.root)
    assert "format 99" in message
    assert "update omnitrack" in hint


@pytest.mark.parametrize("damage", ["missing", "cut", "another size"])
def test_a_frame_that_cannot_be_used_is_named(copied: Project, damage: str) -> None:
    path = copied.frame_path(1)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:40])
    else:
        cv2.imwrite(str(path), np.zeros((5, 7, 3), np.uint8))
    assert copied.frame(0).shape == (*copied.size[::-1], 3)
    with pytest.raises(OmnitrackError) as caught:
        copied.frame(1)
    assert path.name in caught.value.message
    assert "omnitrack init" in (caught.value.hint or "")
