"""EXR in linear light and DPX of ten bits, as written by ffmpeg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.video.reading import open_video

LIGHT = (0.0, 0.25, 0.5, 1.0, 4.0)  # green of five columns; sRGB shows 0.25 as 0.537099, 0.5 as 0.735357


def write_exr(path: Path, run_ffmpeg: Callable[..., None], *options: str) -> Path:
    pytest.importorskip("OpenEXR")
    green = np.broadcast_to(np.repeat(np.float32(LIGHT), 4), (8, 20))
    planes = np.stack([green, np.zeros_like(green), np.full_like(green, 0.5)])  # G, B, R
    raw = ("-f", "rawvideo", "-pix_fmt", "gbrpf32le", "-s", "20x8", "-i", "pipe:0")
    run_ffmpeg(*raw, *options, "-frames:v", "1", str(path), stdin=planes.tobytes())
    return path


@pytest.mark.parametrize("options", [("-format", "half"), ("-format", "float"), ("-compression", "zip16")])
def test_exr_is_shown_as_srgb(tmp_path: Path, options: tuple[str, ...], run_ffmpeg: Callable[..., None]) -> None:
    for number in (1001, 1002):
        write_exr(tmp_path / f"shot.{number}.exr", run_ffmpeg, *options)
    with open_video(tmp_path / "shot.%04d.exr") as reader:
        frames = np.stack(list(reader))
        assert (reader.size, reader.count, reader.numbers) == ((20, 8), 2, [1001, 1002])
        assert "linear light" in reader.notes[0]
    expected = [0, round(255 * 0.537099), round(255 * 0.735357), 255, 255]
    np.testing.assert_array_equal(frames[1, 4, ::4, 1], expected)
    np.testing.assert_array_equal(frames[1, 4, 0], [round(255 * 0.735357), 0, 0])


def test_levels_are_the_exposure_of_an_exr(tmp_path: Path, run_ffmpeg: Callable[..., None]) -> None:
    path = write_exr(tmp_path / "a.exr", run_ffmpeg)
    with open_video(path, "0,4") as reader:
        frame = next(iter(reader))
    np.testing.assert_array_equal(frame[0, 12:20:4, 1], [round(255 * 0.537099), 255])


def test_dpx_of_ten_bits(tmp_path: Path, run_ffmpeg: Callable[..., None]) -> None:
    """Stored values, log or not, from 10 bits to 8."""
    stored = np.broadcast_to(np.arange(0, 1024, 64, dtype="<u2"), (3, 16, 16))
    raw = ("-f", "rawvideo", "-pix_fmt", "gbrp10le", "-s", "16x16", "-i", "pipe:0")
    path = tmp_path / "a.dpx"
    run_ffmpeg(*raw, "-bits_per_raw_sample", "10", "-frames:v", "1", str(path), stdin=stored.tobytes())
    with open_video(path) as reader:
        frame = next(iter(reader))
    assert np.abs(frame[3, :, 1].astype(int) - np.arange(0, 1024, 64) * (255 / 1023)).max() <= 1


@pytest.mark.parametrize("name", ["a.exr", "a.dpx"])
@pytest.mark.parametrize("content", [b"", b"\x76\x2f\x31\x01" + b"\0" * 40, b"SDPX" + b"\0" * 900])
def test_a_damaged_one_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    if name.endswith("exr"):
        pytest.importorskip("OpenEXR")
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OmnitrackError, match=name) as caught, open_video(path) as reader:
        list(reader)
    assert caught.value.hint


def test_an_exr_cut_short_is_named(tmp_path: Path, run_ffmpeg: Callable[..., None]) -> None:
    path = write_exr(tmp_path / "a.exr", run_ffmpeg)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(OmnitrackError, match=r"a\.exr"):
        open_video(path)
