"""Refinement of matches by patches, on a texture with known motion."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.match_refinement import best_offset, refine_by_patches

SIZE = (256, 256)
MOTION = np.array([3.3, -1.6], np.float32)


def frame(t: int) -> NDArray[np.uint8]:
    """Waves of several directions that move by `MOTION` per frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]].astype(np.float32)
    waves, phase = rng.normal(0, 0.25, (12, 2)), rng.uniform(0, 6.28, 12)
    grey = sum(
        np.cos((x - t * MOTION[0]) * w[0] + (y - t * MOTION[1]) * w[1] + p) for w, p in zip(waves, phase, strict=True)
    )
    return np.repeat(np.rint(128 + 15 * np.asarray(grey)).clip(0, 255).astype(np.uint8)[..., None], 3, -1)


@pytest.fixture
def patches() -> FramePatches:
    return FramePatches(BlurredFrames(frame, SIZE))


def places(count: int = 50) -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(40, 210, (count, 2)).astype(np.float32)


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (0.9, -0.4), (-1.3, 1.1)])
def test_the_ends_meet(patches: FramePatches, wrong: tuple[float, float]) -> None:
    here = places()
    there = here + MOTION + np.array(wrong, np.float32)
    new_here, new_there = refine_by_patches(patches, 0, 1, (here, there), 1.0, 2)
    error = np.linalg.norm(new_there - new_here - MOTION, axis=-1)
    assert np.median(error) < 0.2
    assert np.quantile(error, 0.9) < 0.5
    np.testing.assert_allclose(new_here - here, -(new_there - there), atol=1e-4)  # half of the correction each


def test_an_offset_is_that_of_the_target(patches: FramePatches) -> None:
    here = places()
    found = best_offset(patches, 0, here, 1, here + MOTION - np.array([0.5, 1.0], np.float32), 0.5, 4)
    assert np.median(np.linalg.norm(found - [0.5, 1.0], axis=-1)) < 0.1


def test_both_frames_are_treated_alike(patches: FramePatches) -> None:
    here = places()
    there = here + MOTION + 0.7
    onward = refine_by_patches(patches, 0, 1, (here, there), 1.0, 2)
    backward = refine_by_patches(patches, 1, 0, (there, here), 1.0, 2)
    np.testing.assert_array_equal(onward[0], backward[1])
    np.testing.assert_array_equal(onward[1], backward[0])


def test_nothing_moves_farther_than_it_was_looked_for(patches: FramePatches) -> None:
    here = places()
    new_here, new_there = refine_by_patches(patches, 0, 1, (here, here + MOTION + 20), 1.0, 2)
    assert abs(new_here - here).max() <= 1.0 + 1e-4  # half of two pixels; at the rim there is no parabola
    assert abs(new_there - here - MOTION - 20).max() <= 1.0 + 1e-4


def test_frames_without_texture_leave_matches_together_and_none_is_no_failure() -> None:
    flat = FramePatches(BlurredFrames(lambda t: np.full((SIZE[1], SIZE[0], 3), 90, np.uint8), SIZE))
    here = places()
    new_here, new_there = refine_by_patches(flat, 0, 1, (here, here), 1.0, 2)
    np.testing.assert_allclose(new_there, new_here, atol=1e-4)
    empty = np.zeros((0, 2), np.float32)
    assert refine_by_patches(flat, 0, 1, (empty, empty), 1.0, 2)[0].shape == (0, 2)
