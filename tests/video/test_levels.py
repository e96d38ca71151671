"""Levels: deeper values are reduced to 8 bits on one scale for all frames of a clip."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.levels import Levels, find_levels, notes_on, parse_levels, to_rgb8
from omnitrack.video.reading import open_video


def picture(*values: float, dtype: str = "uint16") -> NDArray[np.generic]:
    return np.array(values, dtype).reshape(1, -1, 1)


@pytest.mark.parametrize(
    ("highest", "high"),
    [(200, 255), (256, 1023), (1023, 1023), (1024, 4095), (4095, 4095), (9000, 16383), (16384, 65535), (65535, 65535)],
)
def test_the_fewest_bits_that_hold_the_highest_value(highest: int, high: int) -> None:
    assert find_levels("auto", [picture(0, 3), picture(highest, 7)]) == Levels(0, high)


def test_what_has_no_depth_of_a_camera() -> None:
    assert find_levels("auto", [picture(0, 200, dtype="uint8")]) is None
    assert find_levels("auto", [picture(100_000, dtype="uint32")]) == Levels(0, 2**17 - 1)
    assert find_levels("auto", [picture(-1024, 3071, dtype="int16")]) == Levels(-1024, 3071)
    assert find_levels("auto", [picture(0.25, 0.5, dtype="float32")]) == Levels(0, 1)
    assert find_levels("auto", [picture(-2, 5, np.nan, np.inf, dtype="float32")]) == Levels(-2, 5)
    assert find_levels("auto", [picture(0, 1, dtype="bool")]) == Levels(0, 1)


def test_alpha_is_no_value() -> None:
    rgba = np.array([[[100, 200, 300, 65535]]], np.uint16)
    assert find_levels("auto", [rgba]) == Levels(0, 1023)


@pytest.mark.parametrize("text", ["", "5", "5,5", "9,3", "a,b", "0,nan", "0,1,2", "automatic"])
def test_levels_that_are_none(text: str) -> None:
    with pytest.raises(OmnitrackError, match="neither auto nor LOW,HIGH"):
        parse_levels(text)


def test_chosen_levels_clip() -> None:
    """From 100 to 900, 500 is half way."""
    found = to_rgb8(picture(0, 100, 500, 900, 4000), find_levels("100,900", []))
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 128, 255, 255])


def test_chosen_levels_hold_for_8_bits_and_measured_ones_do_not() -> None:
    dim = picture(0, 50, 100, dtype="uint8")
    np.testing.assert_array_equal(to_rgb8(dim, find_levels("0,100", []))[0, :, 1], [0, 128, 255])
    np.testing.assert_array_equal(to_rgb8(dim, Levels(0, 4095))[0, :, 1], [0, 50, 100])


def test_linear_light_is_shown_by_the_srgb_curve() -> None:
    """The standard maps linear 0.5 to 0.735357, and 0.002 to 12.92 times as much; NaN is black."""
    light = picture(-1, 0, 0.002, 0.5, 1, 7, np.nan, dtype="float32")
    found = to_rgb8(light, find_levels("auto", [], is_light=True))
    np.testing.assert_array_equal(
        found[0, :, 2], [0, 0, round(255 * 12.92 * 0.002), round(255 * 0.735357), 255, 255, 0]
    )


def test_only_what_is_not_plain_is_said() -> None:
    assert notes_on(None, np.dtype("uint8")) == ()
    assert notes_on(Levels(0, 65535), np.dtype("uint16")) == ()
    assert "uint16 values 0 to 4095 become 0 to 255" in notes_on(Levels(0, 4095), np.dtype("uint16"))[0]
    assert "sRGB" in notes_on(Levels(0, 1, is_light=True), np.dtype("float32"))[0]


# --- through the readers ----------------------------------------------------------------------------------------
def test_twelve_bits_in_sixteen_keep_their_grey_levels(tmp_path: Path) -> None:
    """The first frame is dim: the scale is that of the whole clip."""
    ramp = np.tile(np.arange(0, 4096, 64, dtype=np.uint16), (12, 1))
    for index, scale in enumerate((0.1, 1.0, 0.5)):
        cv2.imwrite(str(tmp_path / f"{index}.tif"), (ramp * scale).astype(np.uint16))
    with open_video(tmp_path) as reader:
        dim, full, half = reader
        assert len(reader.notes) == 1
    np.testing.assert_array_equal(full[0, :, 0], np.rint(ramp[0] * (255 / 4095)))
    assert np.abs(half.astype(int) * 2 - full).max() <= 2
    assert dim.max() == round(4032 * 0.1 // 1 * 255 / 4095)


def test_levels_asked_for_reach_a_folder(tmp_path: Path) -> None:
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((8, 8), 2000, np.uint16))
    with open_video(tmp_path, "1000,3000") as reader:
        assert next(iter(reader))[0, 0].tolist() == [128, 128, 128]


def test_a_stack_of_floats_is_scaled_over_the_clip(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    cv2.imwritemulti(str(path), [np.full((12, 20), value, np.float32) for value in (-10, 0, 10)])
    with open_video(path) as reader:
        assert [int(frame[0, 0, 0]) for frame in reader] == [0, 128, 255]


@pytest.mark.parametrize("pixels", ["gray16le", "gbrp16le"])
def test_a_video_of_sixteen_bits_is_scaled_by_what_it_uses(
    tmp_path: Path, pixels: str, run_ffmpeg: Callable[..., None]
) -> None:
    """A 12-bit camera, in a lossless 16-bit video; ffmpeg's own conversion would leave 16 grey levels."""
    grey = np.repeat(np.tile(np.arange(0, 4096, 64, dtype="<u2"), (3, 16, 1))[..., None], 3, -1)
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "64x16", "-r", "12", "-i", "pipe:0")
    path = tmp_path / "camera.mkv"
    run_ffmpeg(*raw, "-c:v", "ffv1", "-pix_fmt", pixels, str(path), stdin=grey.tobytes())
    with open_video(path) as reader:
        frames = np.stack(list(reader))
        assert "0 to 4095" in reader.notes[0]
    assert np.abs(frames.astype(int) - np.rint(grey * (255 / 4095))).max() <= 1


@pytest.mark.parametrize(
    "codec",
    [
        ("clip.mp4", "-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=none:lossless=1"),
        ("clip.mov", "-pix_fmt", "yuv422p10le", "-c:v", "prores_ks"),
        ("clip.mkv", "-pix_fmt", "gray10le", "-c:v", "ffv1"),
    ],
    ids=["hevc", "prores", "ffv1"],
)
def test_ten_bit_videos_are_read(
    tmp_path: Path, clip: NDArray[np.uint8], codec: tuple[str, ...], encode_clip: Callable[..., Path]
) -> None:
    grey = np.repeat(clip[..., 1:2], 3, axis=-1)
    with open_video(encode_clip(tmp_path / codec[0], grey, *codec[1:])) as reader:
        frames = np.stack(list(reader))
        assert (reader.notes, reader.warnings) == ((), ())
    assert np.abs(frames.astype(int) - grey).mean() < 3
