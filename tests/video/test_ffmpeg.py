"""A missing, broken or old ffmpeg is reported as such, not as a bad video; text in a file is not taken for output."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.settings import Settings
from omnitrack.stages.doctor import examine
from omnitrack.stages.init import init_project
from omnitrack.video.ffmpeg import Ffmpeg, local_file
from omnitrack.video.reading import open_video
from omnitrack.video.writing import VideoWriter

needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="a program is a script")
OLD = """case "$1" in
-version) echo "ffmpeg version 4.2.2-static Copyright" ;;
*) echo "[fatal] Unrecognized option 'fps_mode'." >&2; exit 1 ;;
esac"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The path at which omnitrack looks for ffmpeg."""
    path = tmp_path / "ffmpeg"
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
    yield path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25, (64, 48)) as writer:
        for value in (0, 80):
            writer.write(np.full((48, 64, 3), value, np.uint8))
    return path


@needs_sh
@pytest.mark.parametrize(
    ("script", "told", "in_doctor"),
    [
        (OLD, "it is 4.2.2-static, too old (at least 5.1 is needed)", "too old"),
        ("exit 0", "it says nothing", "broken"),
        ("echo segfault >&2; exit 139", "it says 'segfault'", "broken"),
        ("exec cat /dev/null", "it says nothing", "broken"),
    ],
)
def test_an_ffmpeg_that_is_none(clip: Path, program: Path, script: str, told: str, in_doctor: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    with pytest.raises(OmnitrackError) as raised:
        init_project(clip, clip.with_suffix(""), Settings())
    assert f"the ffmpeg at {program} cannot be used: {told}" in raised.value.message
    assert "imageio-ffmpeg" in str(raised.value.hint)
    assert in_doctor in examine().versions["ffmpeg"]


@needs_sh
@pytest.mark.parametrize("made", ["nothing", "a text", "a directory"])
def test_an_ffmpeg_that_cannot_be_started(clip: Path, program: Path, made: str) -> None:
    if made == "a text":
        program.write_text("hello")
    elif made == "a directory":
        program.mkdir()
    with pytest.raises(OmnitrackError, match=r"the ffmpeg at .* cannot be used"):
        open_video(clip)
    assert "broken" in examine().versions["ffmpeg"]


def test_without_any_ffmpeg(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_ffmpeg_exe() -> str:
        raise RuntimeError("No ffmpeg exe could be found. Install ffmpeg on your system.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", get_ffmpeg_exe)
    with pytest.raises(OmnitrackError, match="there is no ffmpeg, without which no video is read") as raised:
        open_video(clip)
    assert "pip install --upgrade imageio-ffmpeg" in str(raised.value.hint)
    assert "there is no ffmpeg" in examine().versions["ffmpeg"]


@pytest.mark.parametrize("text", [": Video: ffv1, gray, 4x4, 7 fps", "Duration: 99:00:00.00, 3 fps"])
def test_a_title_is_no_word_of_ffmpeg(clip: Path, tmp_path: Path, text: str) -> None:
    titled = tmp_path / "titled.mkv"
    titles = ["-metadata", f"title={text}", "-metadata", f"comment=\n[info]   Stream #0:0{text}"]
    with Ffmpeg("-i", local_file(clip), "-c", "copy", *titles, local_file(titled)) as writing:
        assert writing.wait() == 0
    with open_video(titled) as video:
        assert (video.fps, video.size, video.count) == (25, (64, 48), 2)


@needs_sh
def test_a_name_is_no_word_of_ffmpeg(clip: Path) -> None:
    named = clip.rename(clip.with_name("a\n[info]   Stream #0:0: Video: ffv1, gray, 4x4, 7 fps.mp4"))
    with open_video(named) as video:
        assert (video.fps, video.size, len(list(video))) == (25, (64, 48), 2)
