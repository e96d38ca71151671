"""Which videos the arguments of a command line mean, and what their projects are called."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.stages.clips import find_clips


@pytest.fixture(autouse=True)
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Create files by name: only single images are opened."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/clip.mp4", "b/clip.mp4", "b/clip.mov", "b/other.mp4", "b/notes.txt", "c10.mp4", "c9.mp4", "C9.avi"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    for name in ("shots/x/0.png", "shots/x/1.png", "shots/y/0.png", "shots/y/1.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(name, np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["a/clip.mp4"], {"clip": "a/clip.mp4"}),
        (["c9.mp4", "./c9.mp4", "a/../c9.mp4"], {"c9": "c9.mp4"}),
        (["c*.mp4"], {"c9": "c9.mp4", "c10": "c10.mp4"}),
        (["a"], {"clip": "a/clip.mp4"}),
        (["a/clip.mp4", "b/clip.mp4"], {"a_clip": "a/clip.mp4", "b_clip": "b/clip.mp4"}),
        (["b"], {"clip_mov": "b/clip.mov", "clip_mp4": "b/clip.mp4", "other": "b/other.mp4"}),
        (["shots/*"], {"x": "shots/x", "y": "shots/y"}),
        (["shots/x/*.png", "shots/y"], {"x": "shots/x/*.png", "y": "shots/y"}),
        (["shots/y/%d.png", "b/other.mp4"], {"y": "shots/y/%d.png", "other": "b/other.mp4"}),
        (["b/*"], {"clip_mov": "b/clip.mov", "clip_mp4": "b/clip.mp4", "other": "b/other.mp4"}),
        (["c9.mp4", "C9.avi"], {"c9_mp4": "c9.mp4", "C9_avi": "C9.avi"}),
    ],
    ids=lambda value: " ".join(value),
)
def test_found(words: list[str], found: dict[str, str]) -> None:
    into = Path("work")
    assert {clip.root.name: clip.video for clip in find_clips(words, into)} == found
    assert {clip.root.parent for clip in find_clips(words, into)} == {into}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.mp4"], "there is no video at none.mp4"),
        (["a/*.mkv"], r"nothing matches a/\*.mkv"),
        (["shots"], "folder shots holds no images and no videos"),
        (["c9.mp4", "shots/x/0.png", "shots/x/1.png"], "shots/x/0.png is a single image"),
    ],
)
def test_refused(words: list[str], message: str) -> None:
    with pytest.raises(OmnitrackError, match=message) as caught:
        find_clips(words, Path("work"))
    assert caught.value.hint
