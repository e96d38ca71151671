from __future__ import annotations

import numpy as np
import pytest

from omnitrack.drawing.canonical import DARK_SQUARE, FAR, SQUARES, canonical_colours
from omnitrack.drawing.palette import position_colours

LOW, HIGH = np.array([0.0, 0.0, 1.0]), np.array([24.0, 12.0, 3.0])  # squares have sides of 24 / SQUARES


def colours(*places: tuple[float, float, float]) -> np.ndarray:
    return canonical_colours(np.array([places]), LOW, HIGH, np.ones((1, len(places))))[0].astype(int)


def plain(x: float, y: float) -> np.ndarray:
    return position_colours(np.array([[x, y]]), (0, 0, 24, 12))[0].astype(float)


def test_near_light_squares_have_the_colour_of_their_place() -> None:
    side = 24 / SQUARES
    x, y = 5.5 * side, 3.5 * side  # odd and odd: the chequer is light
    assert colours((x, y, 1.0))[0].tolist() == plain(x, y).tolist()
    assert colours((x, y, 0.2))[0].tolist() == plain(x, y).tolist()  # nearer than the nearest colour


def test_squares_alternate_across_and_down() -> None:
    side = 24 / SQUARES
    for x, y in ((6.5 * side, 3.5 * side), (5.5 * side, 4.5 * side)):
        np.testing.assert_allclose(colours((x, y, 1.0))[0], DARK_SQUARE * plain(x, y), atol=0.51)


def test_the_far_end_is_darker() -> None:
    side = 24 / SQUARES
    x, y = 5.5 * side, 3.5 * side
    middle, far, beyond = colours((x, y, 2.0), (x, y, 3.0), (x, y, 9.0))
    np.testing.assert_allclose(far, FAR * plain(x, y), atol=0.51)
    np.testing.assert_allclose(middle, (1 + FAR) / 2 * plain(x, y), atol=0.51)
    assert beyond.tolist() == far.tolist()


def test_a_thin_volume_is_dark() -> None:
    side = 24 / SQUARES
    x, y = 5.5 * side, 3.5 * side
    shown = canonical_colours(np.full((1, 3, 3), (x, y, 1.0)), LOW, HIGH, np.array([[1.0, 0.25, 0.0]]))[0]
    np.testing.assert_allclose(shown, [plain(x, y), plain(x, y) / 4, (0, 0, 0)], atol=0.51)


def test_the_pattern_follows_the_surface() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(LOW - 1, HIGH + 1, (8, 10, 3))
    opacity = rng.uniform(0.5, 1, (8, 10))
    shown = canonical_colours(places, LOW, HIGH, opacity)
    assert shown.shape == (8, 10, 3)
    assert shown.dtype == np.uint8
    np.testing.assert_array_equal(canonical_colours(places[:, ::-1], LOW, HIGH, opacity[:, ::-1]), shown[:, ::-1])


@pytest.mark.parametrize("place", [0.0, 7.0])
def test_a_volume_without_extent_has_a_colour(place: float) -> None:
    flat = np.full(3, 7.0)
    assert canonical_colours(np.full((2, 2, 3), place), flat, flat, np.ones((2, 2))).shape == (2, 2, 3)
