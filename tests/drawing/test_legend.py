"""The legend is in the expected position, shows what was requested, and leaves the rest of the image unchanged."""

from __future__ import annotations

import numpy as np

from omnitrack.drawing.legend import LEAST_SIDE, add_legend, label_entries, point_entries, scale_entries, wheel_entries

GREY = np.full((240, 640, 3), 128, np.uint8)


def changed(entries: list) -> np.ndarray:
    return (add_legend(GREY, entries) != GREY).any(-1)


def test_only_the_lower_left_corner_is_covered() -> None:
    rows, columns = np.nonzero(changed(point_entries(GREY, hidden=True)))
    assert rows.min() > 200
    assert (columns.min(), columns.max() < 320) == (0, True)


def test_hidden_points_are_explained_where_they_are_drawn() -> None:
    assert len(point_entries(GREY, hidden=False)) == 1
    assert changed(point_entries(GREY, hidden=True)).sum() > changed(point_entries(GREY, hidden=False)).sum()


def test_the_scale_runs_from_dark_to_light() -> None:
    (_, low), (bar, high) = scale_entries(GREY, "far", "near")
    assert (low, high) == ("far", "near") and bar is not None
    brightness = bar[bar.shape[0] // 2].astype(int).sum(-1)
    assert brightness[0] < brightness[len(brightness) // 2] < brightness[-1]


def test_the_wheel_is_red_where_motion_goes_right_and_white_at_rest() -> None:
    ((wheel, text),) = wheel_entries(GREY, 7.26)
    assert "7.3 px" in text and wheel is not None
    middle = wheel.shape[0] // 2
    assert wheel[middle, middle].min() > 220
    red, green, blue = wheel[middle, -3].astype(int)
    assert red > 200 and max(green, blue) < 60  # as Baker et al. print it


def test_small_pictures_and_no_entries_are_left_alone() -> None:
    small = GREY[: LEAST_SIDE - 1]
    assert add_legend(small, point_entries(small, True)) is small
    assert add_legend(GREY, []) is GREY


def test_a_long_text_ends_at_the_border() -> None:
    assert add_legend(GREY, [(None, "words " * 100)]).shape == GREY.shape


def test_entries_that_do_not_fit_go_on_in_more_rows() -> None:
    def height(count: int) -> int:
        return int(changed([(None, f"label {i}") for i in range(count)]).any(1).sum())

    one = height(1)
    assert height(6) == one
    assert height(12) == 2 * one
    assert height(400) <= 240 / 3


def test_labels_are_discs_in_their_colours() -> None:
    ((mark, text),) = label_entries(GREY, {"tree": np.array([0, 158, 115], np.uint8)})
    assert text == "tree" and mark is not None
    assert mark[mark.shape[0] // 2, mark.shape[1] // 2].tolist() == [0, 158, 115]
