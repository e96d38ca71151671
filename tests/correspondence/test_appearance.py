"""Patch similarity as specified: 1 for equal, 0 for unrelated, near 1 for patches without texture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import NOISE, PATCH_SIDE, FramePatches, Patches, similarity
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.synthetic import translating_scene

SIZE = (96, 64)
POINTS = np.random.default_rng(0).uniform((8, 8), (88, 56), (300, 2)).astype(np.float32)


def samples_of(
    frame: NDArray[np.uint8], pixels: NDArray[np.float32], size: tuple[int, int] = SIZE
) -> NDArray[np.uint8]:
    return FramePatches(BlurredFrames(lambda t: frame, size)).samples(0, pixels)


def alike(samples: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.float32]:
    return similarity(Patches.of(samples), others)


def noise(seed: int, low: int = 0, high: int = 255) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (SIZE[1], SIZE[0], 3)).astype(np.uint8)


def test_formula_by_hand() -> None:
    """In red, a = (60, -60, 0...), b = -a: |a - b|^2 = 28800, |a|^2 + |b|^2 = 14400, noise 2 * 4 * 75 = 600."""
    assert (NOISE, PATCH_SIDE) == (2.0, 5)
    grey = np.full((1, 25, 3), 128, np.uint8)
    a, b = grey.copy(), grey.copy()
    a[0, :2, 0], b[0, :2, 0] = (188, 68), (68, 188)
    a, b, grey = (samples.reshape(1, 75) for samples in (a, b, grey))
    assert alike(a, a)[0] == 1
    assert alike(a, b)[0] == pytest.approx(1 - 28800 / 15000)
    assert alike(a, grey)[0] == pytest.approx(1 - 7200 / 7800)
    assert Patches.of(a).contrast()[0] == pytest.approx(np.sqrt(7200 / 75))


def test_patches_stay_at_brightness_changes() -> None:
    frame = noise(0, 0, 200)
    samples = samples_of(frame, POINTS)
    assert samples.shape == (300, 75)
    np.testing.assert_allclose(Patches.of(samples).lengths, Patches.of(samples + np.uint8(40)).lengths, rtol=1e-9)
    assert alike(samples, samples_of(frame + np.uint8(40), POINTS)).min() > 0.98


@pytest.mark.parametrize(("tint", "of_a_mean"), [(False, (1,)), (True, (1, 2))])
def test_the_short_way_is_the_formula(tint: bool, of_a_mean: tuple[int, ...]) -> None:
    """s = 1 - sum (a - b)^2 / (sum a^2 + sum b^2 + n) of patches minus their means, for any texture and brightness.

    A mean is that of a colour or, where tint counts, of all three.
    """
    first, second = noise(0, 0, 255), noise(1, 200, 255)
    for other in (first, second):
        samples = samples_of(first, POINTS), samples_of(other, POINTS + np.float32(0.5))
        a, b = (s.reshape(-1, 25, 3) - s.reshape(-1, 25, 3).mean(of_a_mean, keepdims=True) for s in samples)
        a, b = a.reshape(-1, 75), b.reshape(-1, 75)
        squares, lengths = np.square(a - b).sum(1), np.square(a).sum(1) + np.square(b).sum(1)
        found = similarity(Patches.of(samples[0]), samples[1], tint)
        np.testing.assert_allclose(found, 1 - squares / (lengths + 2 * 75 * NOISE**2), atol=1e-5)


def test_length_is_about_the_mean_colour() -> None:
    samples = samples_of(noise(0), POINTS)
    about = samples.reshape(-1, 25, 3) - samples.reshape(-1, 25, 3).mean(1, keepdims=True)
    np.testing.assert_allclose(Patches.of(samples).lengths, np.square(about).sum((1, 2)), rtol=1e-6)


def test_tint_tells_blank_patches_apart_and_brightness_does_not() -> None:
    blank = [np.tile(np.array(colour, np.uint8), (1, 25)) for colour in ((90, 60, 60), (120, 90, 90), (60, 60, 90))]
    patches = Patches.of(blank[0])
    assert similarity(patches, blank[1], tint=True)[0] == pytest.approx(1)
    assert similarity(patches, blank[2], tint=True)[0] < 0
    assert alike(blank[0], blank[2])[0] == pytest.approx(1)


def test_some_of_the_patches_are_those() -> None:
    samples = np.random.default_rng(0).integers(0, 256, (6, 75)).astype(np.uint8)
    rows = np.array([4, 1])
    some = Patches.of(samples)[rows]
    for part, expected in zip(vars(some).values(), vars(Patches.of(samples[rows])).values(), strict=True):
        np.testing.assert_array_equal(part, expected)


def test_samples_are_a_grid_around_the_pixel() -> None:
    """On a horizontal ramp of 3 values per pixel, in red only, the 5 samples of a row are 3 * spacing apart."""
    ramp = np.zeros((60, 60, 3), np.uint8)
    ramp[..., 0] = 3 * np.arange(60)
    at_256 = samples_of(ramp, np.array([[30, 30]], np.float32), (256, 256))  # spacing 1.5 pixels
    patch = at_256.reshape(5, 5, 3)
    np.testing.assert_allclose(patch[..., 0], 90 + np.tile([-9.0, -4.5, 0, 4.5, 9.0], (5, 1)), atol=0.6)  # rounded
    assert not patch[..., 1:].any()


def test_same_place_of_a_moving_scene_is_alike_and_another_place_is_not() -> None:
    scene = translating_scene((2.0, 1.0), SIZE, 4)
    here = samples_of(scene.frame(0), POINTS)
    there = samples_of(scene.frame(3), POINTS + np.float32((6, 3)))
    elsewhere = samples_of(scene.frame(3), POINTS[::-1].copy())
    assert np.median(alike(here, there)) > 0.95
    assert np.median(alike(here, there)) > np.median(alike(here, elsewhere)) + 0.3


def test_unrelated_texture_is_near_zero() -> None:
    a, b = samples_of(noise(1), POINTS), samples_of(noise(2), POINTS)
    values = alike(a, b)
    assert abs(values.mean()) < 0.1
    assert values.min() >= -1


def test_nothing_can_be_said_of_patches_without_texture() -> None:
    a, b = samples_of(noise(1, 100, 102), POINTS), samples_of(noise(2, 50, 52), POINTS)
    assert alike(a, b).min() > 0.9


def test_colours_of_the_same_brightness_are_told_apart() -> None:
    """Stripes of two colours, and the same stripes with the colours swapped, all of one grey level."""
    stripes = (np.arange(SIZE[0]) // 3 % 2).astype(bool)
    frame = np.where(stripes[None, :, None], (180, 60, 114), (60, 121, 114)).astype(np.uint8).repeat(SIZE[1], 0)
    other = np.where(~stripes[None, :, None], (180, 60, 114), (60, 121, 114)).astype(np.uint8).repeat(SIZE[1], 0)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int) for image in (frame, other)]
    assert max(np.ptp(grey) for grey in greys) <= 1
    a = samples_of(frame, POINTS)
    assert np.median(alike(a, a)) == 1
    assert np.median(alike(a, samples_of(other, POINTS))) < -0.5


def test_a_contrast_that_is_gone_is_told() -> None:
    """Half the contrast: 1 - (1/2)^2 / (1 + 1/4) = 0.8 for strong texture. Plain correlation would give 1."""
    frame = np.kron(noise(3)[::4, ::4], np.ones((4, 4, 1), np.uint8))
    faded = (frame // 2 + 60).astype(np.uint8)
    values = alike(samples_of(frame, POINTS), samples_of(faded, POINTS))
    assert np.median(values) == pytest.approx(0.8, abs=0.03)


def test_frames_are_read_once_and_compared_by_index() -> None:
    scene = translating_scene((2.0, 1.0), SIZE, 4)
    read: list[int] = []

    def frame(t: int) -> NDArray[np.uint8]:
        read.append(t)
        return scene.frame(t)

    clip = FramePatches(BlurredFrames(frame, SIZE))
    start = clip.patches(0, POINTS)
    for _ in range(2):
        seen = clip.similarity(start, 3, POINTS + np.float32((6, 3)))
    assert read == [0, 3]
    there = samples_of(scene.frame(3), POINTS + np.float32((6, 3)))
    np.testing.assert_array_equal(seen, alike(samples_of(scene.frame(0), POINTS), there))


def test_frames_of_a_shot_are_numbered_from_its_first_and_blurred_once() -> None:
    read: list[int] = []

    def frame(t: int) -> NDArray[np.uint8]:
        read.append(t)
        return noise(t)

    clip = BlurredFrames(frame, SIZE)
    shot = clip.within(range(2, 6))
    assert shot[1] is clip[3]
    assert shot.within(range(1, 3))[0] is clip[3]
    assert read == [3]
