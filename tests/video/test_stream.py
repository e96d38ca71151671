"""What ffmpeg reports on a stream: interlaced, anamorphic and HDR videos get a warning with the command to convert."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.video.reading import open_video
from omnitrack.video.stream import has_open_depth, stream_warnings


def warnings(path: Path) -> tuple[str, ...]:
    with open_video(path) as reader:
        return reader.warnings


def follow(warning: str, run_ffmpeg: Callable[..., None]) -> Path:
    """Run the command at the end of a warning; return the file that it writes."""
    arguments = shlex.split(warning[warning.index("ffmpeg -i") :])
    run_ffmpeg(*arguments[1:])
    return Path(arguments[-1])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("top field.mp4", ("-vf", "setfield=tff", "-flags", "+ilme+ildct", "-c:v", "libx264", "-x264opts", "tff=1")),
        ("bottom.mp4", ("-vf", "setfield=bff", "-flags", "+ilme+ildct", "-c:v", "libx264", "-x264opts", "bff=1")),
        ("prores.mov", ("-vf", "setfield=tff", "-flags", "+ildct", "-c:v", "prores_ks")),
    ],
)
def test_an_interlaced_video_says_so(
    tmp_path: Path,
    clip: NDArray[np.uint8],
    name: str,
    options: tuple[str, ...],
    encode_clip: Callable[..., Path],
    run_ffmpeg: Callable[..., None],
) -> None:
    found = warnings(encode_clip(tmp_path / name, clip, *options))
    assert len(found) == 1
    assert "is interlaced" in found[0]
    assert warnings(follow(found[0], run_ffmpeg)) == ()


def test_an_anamorphic_video_says_so(
    tmp_path: Path, clip: NDArray[np.uint8], encode_clip: Callable[..., Path], run_ffmpeg: Callable[..., None]
) -> None:
    """Pixels of 4:3: 64 of them are as wide as 85 square ones; the encoder needs an even number."""
    path = encode_clip(tmp_path / "wide.mp4", clip, "-vf", "setsar=4/3", "-c:v", "libx264", "-pix_fmt", "yuv420p")
    with open_video(path) as reader:
        assert reader.size == (64, 48), "coordinates stay those of stored pixels"
        (warning,) = reader.warnings
    assert "pixels of 4:3" in warning
    with open_video(follow(warning, run_ffmpeg)) as reader:
        assert reader.warnings == ()
        assert reader.size == (86, 48)


@pytest.mark.parametrize(("curve", "name"), [("smpte2084", "PQ"), ("arib-std-b67", "HLG")])
def test_an_hdr_video_says_so(
    tmp_path: Path, clip: NDArray[np.uint8], curve: str, name: str, encode_clip: Callable[..., Path]
) -> None:
    colours = f"log-level=none:transfer={curve}:colorprim=bt2020:colormatrix=bt2020nc"
    options = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", colours)
    (warning,) = warnings(encode_clip(tmp_path / "hdr.mp4", clip, *options))
    assert f"HDR ({name})" in warning


def test_square_progressive_pixels_need_no_word(video_file: Path) -> None:
    assert warnings(video_file) == ()


@pytest.mark.parametrize("shape", ["SAR 1:1", "SAR 0:1", "SAR 12:12", ""])
def test_pixels_that_are_square(shape: str) -> None:
    stream = f"Stream #0:0: Video: h264, yuv420p(progressive), 64x48 [{shape} DAR 4:3], 25 fps"
    assert stream_warnings(stream, Path("clip.mp4")) == ()


@pytest.mark.parametrize(
    ("pixels", "is_open"),
    [
        ("gray16le(pc)", True),
        ("gbrp16le", True),
        ("rgb48be(pc)", True),
        ("gray12le", False),
        ("yuv420p10le(tv)", False),
    ],
)
def test_only_sixteen_bits_may_hold_fewer(pixels: str, is_open: bool) -> None:
    assert has_open_depth(f"Stream #0:0: Video: ffv1 (FFV1 / 0x31564646), {pixels}, 64x48") is is_open
