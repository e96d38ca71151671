"""Writing: the output is decoded by ffmpeg or OpenCV directly, and compared with the input."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video import writing
from omnitrack.video.reading import open_video
from omnitrack.video.writing import VideoWriter


def write(path: Path, frames: NDArray[np.uint8], fps: float = 12.0) -> None:
    with VideoWriter(path, fps, (frames.shape[2], frames.shape[1])) as writer:
        for frame in frames:
            writer.write(frame)


def decode(path: Path) -> tuple[NDArray[np.uint8], dict[str, object]]:
    """Return frames and metadata from imageio-ffmpeg's own reader."""
    stream = imageio_ffmpeg.read_frames(str(path))
    meta = next(stream)
    frames = [np.frombuffer(data, np.uint8).reshape(meta["size"][1], meta["size"][0], 3) for data in stream]
    return np.stack(frames), meta


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "h264"), (".webm", "vp9")])
def test_video_plays_in_browsers(tmp_path: Path, clip: NDArray[np.uint8], suffix: str, codec: str) -> None:
    path = tmp_path / "deep" / f"out{suffix}"
    write(path, clip)
    frames, meta = decode(path)
    assert frames.shape == clip.shape
    assert (meta["codec"], meta["fps"], meta["size"]) == (codec, 12.0, (64, 48))
    assert str(meta["pix_fmt"]).startswith("yuv420p(tv, bt709")
    assert np.abs(frames.astype(float) - clip).mean() < 12  # chroma at half resolution
    assert list(path.parent.iterdir()) == [path]


def test_mp4_starts_fast(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    """The index (moov) precedes the data (mdat), so that a browser can play while it loads."""
    write(tmp_path / "out.mp4", clip)
    data = (tmp_path / "out.mp4").read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".gif"])
def test_colours_are_kept(tmp_path: Path, suffix: str) -> None:
    """Saturated colours would be off by 10 and more if matrix or range were wrong."""
    frames = np.empty((4, 32, 64, 3), np.uint8)
    frames[:, :, :32], frames[:, :, 32:] = (255, 0, 0), (10, 200, 60)
    path = tmp_path / f"out{suffix}"
    write(path, frames)
    found = decode(path)[0][2].astype(int)
    assert np.abs(found[16, 8] - (255, 0, 0)).max() <= 3
    assert np.abs(found[16, 56] - (10, 200, 60)).max() <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_odd_size_gains_a_repeated_edge(
    tmp_path: Path, suffix: str, textured_clip: Callable[..., NDArray[np.uint8]]
) -> None:
    clip = textured_clip(3, (31, 17))
    clip[:, -1:] = (0, 255, 0)  # the rows repeated below must be green, too
    write(tmp_path / f"out{suffix}", clip)
    frames, _ = decode(tmp_path / f"out{suffix}")
    assert frames.shape == (3, 18, 32, 3)
    assert np.abs(frames[:, -1, 2:-2].astype(int) - (0, 255, 0)).mean() < 25


def test_gif_keeps_frames_size_and_detail(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write(tmp_path / "out.gif", clip[:, :47, :63], fps=10.0)
    frames, meta = decode(tmp_path / "out.gif")
    assert frames.shape == (8, 47, 63, 3)
    assert meta["fps"] == 10.0
    assert np.abs(frames.astype(float) - clip[:, :47, :63]).mean() < 10


def test_webp_keeps_frames_and_size_and_loops(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    """Its chunks contain ANIM with a loop count of 0, for ever, and one ANMF per frame."""
    write(tmp_path / "out.webp", clip[:, :47, :63], fps=10.0)
    data = (tmp_path / "out.webp").read_bytes()
    assert data[:4] + data[8:12] == b"RIFFWEBP"
    start = data.index(b"ANIM")
    assert data[start + 12 : start + 14] == b"\0\0"
    assert data.count(b"ANMF") == len(clip)
    shown = open_video(tmp_path / "out.webp")
    assert shown.size == (63, 47)
    assert np.abs(next(iter(shown)).astype(float) - clip[0, :47, :63]).mean() < 12


def test_gif_loops(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write(tmp_path / "out.gif", clip)
    assert b"NETSCAPE2.0\x03\x01\0\0\0" in (tmp_path / "out.gif").read_bytes()  # for ever


def test_gif_faster_than_browsers_play_drops_frames(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    """8 frames at 100 per second last 0.08 s: 4 frames at 50 per second."""
    write(tmp_path / "out.gif", clip, fps=100.0)
    assert len(decode(tmp_path / "out.gif")[0]) == 4


@pytest.mark.parametrize(
    ("output", "files"),
    [
        ("out", ["out/000000.png", "out/000001.png", "out/000002.png"]),
        ("a/out_%03d.png", ["a/out_000.png", "a/out_001.png", "a/out_002.png"]),
        ("a/out%d.png", ["a/out0.png", "a/out1.png", "a/out2.png"]),
        ("a/out.####.png", ["a/out.0000.png", "a/out.0001.png", "a/out.0002.png"]),
        ("a/out.png", ["a/out_000000.png", "a/out_000001.png", "a/out_000002.png"]),
    ],
)
def test_png_sequence(tmp_path: Path, clip: NDArray[np.uint8], output: str, files: list[str]) -> None:
    write(tmp_path / output, clip[:3])
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == files
    found = [cv2.imread(str(tmp_path / name))[..., ::-1] for name in files]
    np.testing.assert_array_equal(np.stack(found), clip[:3])


def test_one_frame_named_png_is_that_file(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write(tmp_path / "still.png", clip[:1])
    assert [p.name for p in tmp_path.iterdir()] == ["still.png"]


def test_sequence_never_overwrites_one(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    write(tmp_path / "out", clip[:3])
    with pytest.raises(OmnitrackError, match="there is a sequence already"):
        write(tmp_path / "out", clip[4:6])
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out/000000.png"))[..., ::-1], clip[0])


def test_unknown_suffix_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match=r"unknown video format \.mpx") as caught:
        VideoWriter(tmp_path / "out.mpx", 12.0, (64, 48))
    assert caught.value.hint == "known: .mp4 .webm .webp .gif .png, or a directory for numbered .png files"


@pytest.mark.parametrize("output", ["out.mp4", "out.gif", "out", "out.png"])
def test_failed_block_leaves_what_was_there(tmp_path: Path, clip: NDArray[np.uint8], output: str) -> None:
    path = tmp_path / output
    if path.suffix:
        path.write_text("earlier")
    before = list(tmp_path.iterdir())

    def interrupted() -> None:
        with VideoWriter(path, 12.0, (64, 48)) as writer:
            writer.write(clip[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == before
    assert not path.suffix or path.read_text() == "earlier"


@pytest.mark.parametrize("output", ["out.mp4", "out"])
def test_no_frames_make_no_file(tmp_path: Path, clip: NDArray[np.uint8], output: str) -> None:
    with pytest.raises(OmnitrackError, match="there are no frames"):
        write(tmp_path / output, clip[:0])
    assert not list(tmp_path.iterdir())


def test_frame_of_another_size_is_refused(tmp_path: Path, clip: NDArray[np.uint8]) -> None:
    with (
        pytest.raises(ValueError, match=r"must be uint8 \(48, 64, 3\)"),
        VideoWriter(tmp_path / "out.mp4", 12.0, (64, 48)) as writer,
    ):
        writer.write(clip[0, :, :60])


def test_complaint_of_ffmpeg_becomes_the_error(
    tmp_path: Path, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(writing._ENCODERS, ".mp4", ["-c:v", "no_such_encoder", "-f", "mp4"])
    with pytest.raises(OmnitrackError, match=r"cannot write .*out\.mp4: Unknown encoder 'no_such_encoder'"):
        write(tmp_path / "out.mp4", np.repeat(clip, 20, axis=0))
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_full_disk_while_writing_images(
    tmp_path: Path, clip: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OmnitrackError, match="No space left on device") as caught:
        write(tmp_path / "out", clip)
    assert caught.value.hint == "free some space, or name another place"
    assert not list(tmp_path.iterdir())
