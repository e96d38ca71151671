from __future__ import annotations

import numpy as np
import pytest

from omnitrack.drawing.edit import carry_layer, lay_over, make_layer, without_specks

RNG = np.random.default_rng(5)


def test_colours_are_multiplied_by_their_alpha() -> None:
    image = np.array([[[255, 0, 51, 255], [255, 255, 255, 51], [9, 9, 9, 0]]], np.uint8)
    layer = make_layer(image, (3, 1))
    assert layer.dtype == np.float32
    np.testing.assert_allclose(layer[0], [[1, 0, 0.2, 1], [0.2, 0.2, 0.2, 0.2], [0, 0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(make_layer(image.astype(np.uint16) * 257, (3, 1)), layer, atol=1e-6)


def test_what_is_transparent_lends_no_colour_when_a_drawing_shrinks() -> None:
    red_and_clear_green = np.array([[[255, 0, 0, 255], [0, 255, 0, 0]]], np.uint8)
    np.testing.assert_allclose(make_layer(red_and_clear_green, (1, 1))[0, 0], [0.5, 0, 0, 0.5])


def test_a_drawing_grows_smoothly() -> None:
    image = np.array([[[255, 255, 255, 255], [0, 0, 0, 0]]], np.uint8)
    assert make_layer(image, (4, 1))[0, :, 3].tolist() == [1, 0.75, 0.25, 0]


def test_over_a_picture_by_hand() -> None:
    picture = np.array([[[100, 200, 50]] * 3], np.uint8)
    layer = np.array([[[0, 0, 0, 0], [1, 0.5, 0, 1], [0.5, 0, 0.25, 0.5]]], np.float32)
    assert lay_over(picture, layer)[0].tolist() == [[100, 200, 50], [255, 128, 0], [178, 100, 89]]
    assert picture[0, 1].tolist() == [100, 200, 50]


def test_what_stands_still_keeps_the_drawing() -> None:
    layer = RNG.random((12, 16, 4), np.float32)
    for cells in ((12, 16), (3, 4)):
        carried = carry_layer(layer, np.zeros((*cells, 2)), np.ones(cells, bool))
        np.testing.assert_allclose(carried, layer, atol=1e-6)


def test_a_pixel_takes_what_is_at_its_place() -> None:
    layer = RNG.random((12, 16, 4), np.float32)
    carried = carry_layer(layer, np.full((6, 8, 2), (3, -2)), np.ones((6, 8), bool))
    np.testing.assert_allclose(carried[2:, :-3], layer[:-2, 3:], atol=1e-6)
    assert not carried[:2].any()  # their positions are outside the drawing
    assert not carried[:, -3:].any()


def test_between_cells_motion_is_linear() -> None:
    layer = np.zeros((4, 40, 4), np.float32)
    layer[..., 3] = np.arange(40) / 40
    zoom = np.stack(np.meshgrid(0.5 * (np.arange(10) * 4 + 1.5), np.zeros(2)), -1)  # 0.5 x at the centre of each cell
    carried = carry_layer(layer, zoom, np.ones((2, 10), bool))
    np.testing.assert_allclose(carried[1, 2:26, 3], 1.5 * np.arange(2, 26) / 40, atol=1e-3)  # OpenCV: 1/32 pixel


def test_edges_of_what_is_visible_are_soft() -> None:
    visible = np.array([[True, False]])
    carried = carry_layer(np.ones((1, 8, 4), np.float32), np.zeros((1, 2, 2)), visible)
    np.testing.assert_allclose(carried[0, :, 3], [1, 1, 0.875, 0.625, 0.375, 0.125, 0, 0])


def test_an_edge_between_two_surfaces_does_not_show_what_lies_between_their_places() -> None:
    layer = np.zeros((8, 160, 4), np.float32)
    layer[:, 95:125] = 1
    displacement = np.zeros((1, 16, 2))
    displacement[:, 8:, 0] = 60  # pixels from 80 on show the layer at 140 and beyond
    assert not carry_layer(layer, displacement, np.ones((1, 16), bool)).any()


def test_specks_are_replaced_and_edges_stay() -> None:
    displacement = np.zeros((9, 12, 2), np.float32)
    displacement[:, 6:] = (5, -3)
    visible = np.ones((9, 12), bool)
    visible[:, 9:11] = False
    spoilt, hidden = displacement.copy(), visible.copy()
    spoilt[4, 2], spoilt[5, 8], hidden[3, 3], hidden[6, 9] = 70, -40, False, True
    cleaned, seen = without_specks(spoilt, hidden)
    np.testing.assert_array_equal(cleaned, displacement)
    np.testing.assert_array_equal(seen, visible)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_cells_without_a_place_show_nothing(value: float) -> None:
    displacement = np.full((6, 6, 2), (1.0, 2.0))
    displacement[1:4, 1:4, 0] = value
    cleaned, seen = without_specks(displacement, np.ones((6, 6), bool))
    assert np.isfinite(cleaned).all()
    assert not seen[2, 2]
    assert seen[5].all()
