"""Patch similarity against what it claims: 1 for equal, 0 for unrelated, near 1 where there is nothing to see."""

from __future__ import annotations

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
    """a = (60, -60, 0...), b = -a: |a - b|^2 = 28800, |a|^2 + |b|^2 = 14400, noise 2 * 16 * 25 = 800."""
    assert (NOISE, PATCH_SIDE) == (4.0, 5)
    a = np.zeros((1, 25), np.float32)
    a[0, :2] = 60, -60
    assert similarity.compare(a, a)[0] == 1
    assert similarity.compare(a, -a)[0] == pytest.approx(1 - 28800 / 15200)
    assert similarity.compare(a, np.zeros_like(a))[0] == pytest.approx(1 - 7200 / 8000)


def test_patches_have_no_mean_and_stay_at_brightness_changes(similarity: PatchSimilarity) -> None:
    frame = noise(0, 0, 200)
    patches = patches_of(similarity, frame, POINTS)
    assert patches.shape == (300, 25)
    np.testing.assert_allclose(patches.mean(-1), 0, atol=1e-4)
    assert similarity.compare(patches, patches_of(similarity, frame + np.uint8(40), POINTS)).min() > 0.98


def test_samples_are_a_grid_around_the_pixel() -> None:
    """On a horizontal ramp of 3 grey values per pixel the 5 samples of a row are 3 * spacing apart."""
    similarity = PatchSimilarity((256, 256))  # spacing 1.5 pixels
    ramp = np.repeat(np.arange(60, dtype=np.uint8)[None, :, None] * 3, 60, 0).repeat(3, 2)
    patch = patches_of(similarity, ramp, np.array([[30, 30]], np.float32)).reshape(5, 5)
    np.testing.assert_allclose(patch, np.tile([-9.0, -4.5, 0, 4.5, 9.0], (5, 1)), atol=0.6)  # grey is rounded


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
    a, b = patches_of(similarity, noise(1, 100, 104), POINTS), patches_of(similarity, noise(2, 50, 54), POINTS)
    assert similarity.compare(a, b).min() > 0.9


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
    expected = plain.compare(
        patches_of(plain, scene.frame(0), POINTS), patches_of(plain, scene.frame(3), POINTS + np.float32((6, 3)))
    )
    np.testing.assert_array_equal(alike, expected)
