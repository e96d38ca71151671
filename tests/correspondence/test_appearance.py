"""Patch similarity against what it claims: 1 for equal, 0 for unrelated, near 1 where there is nothing to see."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import NOISE, PATCH_SIDE, FramePatches, PatchSimilarity
from omnitrack.synthetic import translating_scene

SIZE = (96, 64)
POINTS = np.random.default_rng(0).uniform((8, 8), (88, 56), (300, 2)).astype(np.float32)


@pytest.fixture
def similarity() -> PatchSimilarity:
    return PatchSimilarity(SIZE)


def patches_of(similarity: PatchSimilarity, frame: NDArray[np.uint8], pixels: NDArray[np.float32]) -> NDArray:
    return similarity.patches(similarity.prepare(frame), pixels)


def noise(seed: int, low: int = 0, high: int = 255) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(low, high, (SIZE[1], SIZE[0], 3)).astype(np.uint8)


def test_formula_by_hand(similarity: PatchSimilarity) -> None:
    """Of red, a = (60, -60, 0...), b = -a: |a - b|^2 = 28800, |a|^2 + |b|^2 = 14400, noise 2 * 4 * 75 = 600."""
    assert (NOISE, PATCH_SIDE) == (2.0, 5)
    a = np.zeros((1, 25, 3), np.float32)
    a[0, :2, 0] = 60, -60
    a = a.reshape(1, 75)
    assert similarity.compare(a, a)[0] == 1
    assert similarity.compare(a, -a)[0] == pytest.approx(1 - 28800 / 15000)
    assert similarity.compare(a, np.zeros_like(a))[0] == pytest.approx(1 - 7200 / 7800)


def test_patches_have_no_mean_and_stay_at_brightness_changes(similarity: PatchSimilarity) -> None:
    frame = noise(0, 0, 200)
    patches = patches_of(similarity, frame, POINTS)
    assert patches.shape == (300, 75)
    np.testing.assert_allclose(patches.reshape(300, 25, 3).mean(1), 0, atol=1e-4)
    assert similarity.compare(patches, patches_of(similarity, frame + np.uint8(40), POINTS)).min() > 0.98


def test_the_short_way_is_the_formula(similarity: PatchSimilarity) -> None:
    """s = 1 - sum (a - b)^2 / (sum a^2 + sum b^2 + n) of patches less their means, of every texture and brightness."""
    first, second = (similarity.prepare(noise(seed, low, 255)) for seed, low in ((0, 0), (1, 200)))
    for other in (first, second):
        a, b = similarity.patches(first, POINTS), similarity.patches(other, POINTS + np.float32(0.5))
        squares, lengths = np.square(a - b).sum(1), np.square(a).sum(1) + np.square(b).sum(1)
        found = similarity.compare(a, similarity.samples(other, POINTS + np.float32(0.5)))
        np.testing.assert_allclose(found, 1 - squares / (lengths + 2 * 75 * NOISE**2), atol=1e-5)


def test_samples_are_a_grid_around_the_pixel() -> None:
    """On a horizontal ramp of 3 values per pixel in red alone the 5 samples of a row are 3 * spacing apart."""
    similarity = PatchSimilarity((256, 256))  # spacing 1.5 pixels
    ramp = np.zeros((60, 60, 3), np.uint8)
    ramp[..., 0] = 3 * np.arange(60)
    patch = patches_of(similarity, ramp, np.array([[30, 30]], np.float32)).reshape(5, 5, 3)
    np.testing.assert_allclose(patch[..., 0], np.tile([-9.0, -4.5, 0, 4.5, 9.0], (5, 1)), atol=0.6)  # rounded
    assert not patch[..., 1:].any()


def test_same_place_of_a_moving_scene_is_alike_and_another_place_is_not(similarity: PatchSimilarity) -> None:
    scene = translating_scene((2.0, 1.0), SIZE, 4)
    here = patches_of(similarity, scene.frame(0), POINTS)
    there = patches_of(similarity, scene.frame(3), POINTS + np.float32((6, 3)))
    elsewhere = patches_of(similarity, scene.frame(3), POINTS[::-1].copy())
    assert np.median(similarity.compare(here, there)) > 0.95
    assert np.median(similarity.compare(here, there)) > np.median(similarity.compare(here, elsewhere)) + 0.3


def test_unrelated_texture_is_near_zero(similarity: PatchSimilarity) -> None:
    a, b = patches_of(similarity, noise(1), POINTS), patches_of(similarity, noise(2), POINTS)
    values = similarity.compare(a, b)
    assert abs(values.mean()) < 0.1
    assert values.min() >= -1


def test_nothing_can_be_said_of_patches_without_texture(similarity: PatchSimilarity) -> None:
    a, b = patches_of(similarity, noise(1, 100, 102), POINTS), patches_of(similarity, noise(2, 50, 52), POINTS)
    assert similarity.compare(a, b).min() > 0.9


def test_colours_of_the_same_brightness_are_told_apart(similarity: PatchSimilarity) -> None:
    """Stripes of two colours and the same stripes with the colours exchanged, all of one grey."""
    stripes = (np.arange(SIZE[0]) // 3 % 2).astype(bool)
    frame = np.where(stripes[None, :, None], (180, 60, 114), (60, 121, 114)).astype(np.uint8).repeat(SIZE[1], 0)
    other = np.where(~stripes[None, :, None], (180, 60, 114), (60, 121, 114)).astype(np.uint8).repeat(SIZE[1], 0)
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int) for image in (frame, other)]
    assert max(np.ptp(grey) for grey in greys) <= 1
    a = patches_of(similarity, frame, POINTS)
    assert np.median(similarity.compare(a, a)) == 1
    assert np.median(similarity.compare(a, patches_of(similarity, other, POINTS))) < -0.5


def test_a_contrast_that_is_gone_is_told(similarity: PatchSimilarity) -> None:
    """Half the contrast: 1 - (1/2)^2 / (1 + 1/4) = 0.8 for strong texture. Plain correlation would say 1."""
    frame = np.kron(noise(3)[::4, ::4], np.ones((4, 4, 1), np.uint8))
    faded = (frame // 2 + 60).astype(np.uint8)
    values = similarity.compare(patches_of(similarity, frame, POINTS), patches_of(similarity, faded, POINTS))
    assert np.median(values) == pytest.approx(0.8, abs=0.03)


def test_frames_are_read_once_and_compared_by_index() -> None:
    scene = translating_scene((2.0, 1.0), SIZE, 4)
    read: list[int] = []

    def frame(t: int) -> NDArray[np.uint8]:
        read.append(t)
        return scene.frame(t)

    clip = FramePatches(frame, SIZE)
    start = clip.patches(0, POINTS)
    for _ in range(2):
        alike = clip.similarity(start, 3, POINTS + np.float32((6, 3)))
    assert read == [0, 3]
    plain = PatchSimilarity(SIZE)
    there = plain.samples(plain.prepare(scene.frame(3)), POINTS + np.float32((6, 3)))
    np.testing.assert_array_equal(alike, plain.compare(patches_of(plain, scene.frame(0), POINTS), there))
