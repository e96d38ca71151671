"""Names are beside their points, and inside the image."""

from __future__ import annotations

import numpy as np
import pytest

from omnitrack.drawing.names import draw_names

GREY = np.full((240, 320, 3), 128, np.uint8)
RED = np.array([[255, 0, 0]], np.uint8)


def extent(x: float, y: float, name: str = "tree") -> tuple[int, int, int, int]:
    """Return the first and last column and row that a name changes."""
    rows, columns = np.nonzero((draw_names(GREY, np.array([[x, y]]), [name], RED, 5.0) != GREY).any(-1))
    return columns.min(), columns.max(), rows.min(), rows.max()


def test_a_name_is_right_of_its_point_at_its_height() -> None:
    left, right, top, bottom = extent(100, 120)
    assert 105 < left < 112 and right < 160
    assert abs((top + bottom) / 2 - 120) < 2.5


def test_at_the_right_border_it_is_left_of_its_point() -> None:
    left, right, _, _ = extent(310, 120)
    assert left > 250 and right < 305


@pytest.mark.parametrize("corner", [(0, 0), (319, 0), (0, 239), (319, 239)])
def test_in_corners_it_stays_on_the_picture(corner: tuple[float, float]) -> None:
    left, right, top, bottom = extent(*corner)
    assert right - left > 20 and bottom - top >= 8  # all of the name
    assert min(left, 319 - right, top, 239 - bottom) >= 0


@pytest.mark.parametrize(("place", "name"), [((np.nan, 5), "a"), ((400, 5), "a"), ((50, -20), "a"), ((50, 50), "")])
def test_what_is_not_there_has_no_name(place: tuple[float, float], name: str) -> None:
    assert np.array_equal(draw_names(GREY, np.array([place]), [name], RED, 5.0), GREY)
