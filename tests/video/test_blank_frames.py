"""Frames of a single colour are reported."""

from __future__ import annotations

import numpy as np
import pytest

from omnitrack.video.blank_frames import BlankFrames


def warning(*frames: np.ndarray) -> str | None:
    blank = BlankFrames()
    for index, frame in enumerate(frames):
        blank.look(index, frame)
    return blank.warning("clip.mp4")


TEXTURE = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
BLACK, BLUE = np.zeros_like(TEXTURE), np.full_like(TEXTURE, (0, 0, 200))


def test_a_clip_with_texture_has_none() -> None:
    assert warning(TEXTURE, TEXTURE // 64) is None


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        ((TEXTURE, BLACK, TEXTURE), "frame 1 of clip.mp4 is of one colour"),
        ((BLACK, BLUE, TEXTURE, BLUE), "frames 0-1, 3 of clip.mp4 are of one colour"),
    ],
)
def test_blank_frames_are_named(frames: tuple[np.ndarray, ...], said: str) -> None:
    assert said in (warning(*frames) or "")


def test_the_noise_of_an_encoder_is_blank_and_a_faint_shape_is_not() -> None:
    noise = np.random.default_rng(0).integers(16, 18, (20, 30, 3), np.uint8)
    assert warning(noise)
    faint = BLACK.copy()
    faint[5:15, 5:15, 1] = 4
    assert warning(faint) is None
