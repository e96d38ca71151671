"""Flow in steps: read between its pixels as exactly as float32 allows, by the reference and as compiled."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from omnitrack.correspondence.flow_steps import PLACES_PER_PX, flow_at, steps_to_pixels
from omnitrack.correspondence.raster import sample

numba = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="numba is the extra fast")
RANDOM = np.random.default_rng(0)
STEPS = RANDOM.integers(-9000, 9000, (60, 80, 2)).astype(np.int16)


def bilinear(pixels: np.ndarray) -> np.ndarray:
    """By its formula, in float64, at positions that are not rounded."""
    corners, shares = np.floor(pixels).astype(int), (pixels - np.floor(pixels)).astype(np.float64)
    found = np.zeros((len(pixels), 2))
    for right in (0, 1):
        for down in (0, 1):
            column, row = (corners + np.array([right, down])).clip(0, (79, 59)).T
            weight = np.abs(1 - right - shares[:, 0]) * np.abs(1 - down - shares[:, 1])
            found += weight[:, None] * STEPS[row, column] / 32
    return found


@pytest.mark.parametrize("count", [0, 1, 700, 40_000])
def test_flow_between_pixels_and_beyond_the_border(count: int) -> None:
    """Positions of a whole number of thirty-seconds, in and around the frame: float32 holds these sums."""
    pixels = (RANDOM.integers(-640, 3200, (count, 2)) / PLACES_PER_PX).astype(np.float32)
    found = flow_at(STEPS, 32.0, pixels)
    assert found.dtype == np.float32 and found.shape == (count, 2)
    np.testing.assert_array_equal(found, bilinear(pixels).astype(np.float32))


def test_other_positions_are_rounded() -> None:
    pixels = RANDOM.uniform(-9, 90, (900, 2)).astype(np.float32)
    nearest = (np.rint(pixels * PLACES_PER_PX) / PLACES_PER_PX).astype(np.float32)
    np.testing.assert_array_equal(flow_at(STEPS, 32.0, pixels), flow_at(STEPS, 32.0, nearest))
    np.testing.assert_array_equal(flow_at(STEPS, 32.0, pixels), flow_at(STEPS, 32.0, pixels.astype(np.float64)))
    far = np.array([[-5000, 20.25], [5000, 20.25]], np.float32)
    np.testing.assert_array_equal(flow_at(STEPS, 32.0, far), flow_at(STEPS, 32.0, far.clip(0, 79)))


def test_it_is_the_flow_in_pixels() -> None:
    pixels = RANDOM.uniform(-9, 90, (900, 2)).astype(np.float32)
    for per_px in (32.0, 8.0):
        whole = steps_to_pixels(STEPS, per_px)
        np.testing.assert_allclose(
            flow_at(STEPS, per_px, pixels), sample(whole, pixels), atol=1e-3 * 9000 / per_px / 32
        )
        np.testing.assert_array_equal(flow_at(STEPS, per_px, np.array([[7, 5]])), whole[5, 7][None])


@numba
@pytest.mark.parametrize("largest", [100, 32767])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (60, 80)])
def test_the_compiled_part_reads_the_same_bits(shape: tuple[int, int], largest: int) -> None:
    from omnitrack.correspondence.compiled.flow_steps import flow_at as ours

    steps = RANDOM.integers(-largest, largest, (*shape, 2), endpoint=True).astype(np.int16)
    pixels = RANDOM.uniform(-9, 90, (500, 4)).astype(np.float32)
    for given in (pixels[:, :2], pixels[:, ::3], np.rint(pixels[:, :2]), pixels[:0, :2], pixels[:1, :2]):
        np.testing.assert_array_equal(ours(steps, 32.0, given), flow_at(steps, 32.0, given))
