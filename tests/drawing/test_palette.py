from __future__ import annotations

import cv2
import numpy as np
import pytest

from omnitrack.drawing.depth import depth_colours
from omnitrack.drawing.flow import flow_colours
from omnitrack.drawing.palette import flow_wheel, marker_radius, oklab_to_rgb, position_colours


@pytest.mark.parametrize(
    ("lab", "rgb"),
    [  # Ottosson's page and the CSS Color 4 specification
        ((1.0, 0.0, 0.0), (255, 255, 255)),
        ((0.0, 0.0, 0.0), (0, 0, 0)),
        ((0.627955, 0.224863, 0.125846), (255, 0, 0)),
        ((0.452014, -0.032457, -0.311528), (0, 0, 255)),
    ],
)
def test_oklab_of_known_colours(lab: tuple[float, ...], rgb: tuple[int, ...]) -> None:
    assert oklab_to_rgb(np.array(lab)).tolist() == list(rgb)


def test_places_next_to_each_other_look_alike_and_far_ones_do_not() -> None:
    points = np.array([[0, 0], [2, 0], [99, 0], [0, 99], [500, -40]], float)
    colours = position_colours(points, (0, 0, 99, 99)).astype(int)
    near, across, down = (np.abs(colours[i] - colours[0]).max() for i in (1, 2, 3))
    assert near < 25
    assert across > 80
    assert down > 40
    assert colours[4].tolist() == colours[2].tolist()  # outside of the box: as at its edge
    assert colours.sum(1)[3] < colours.sum(1)[0]  # darker down


def test_a_single_place_has_a_colour() -> None:
    assert position_colours(np.array([[5.0, 5.0]]), (5, 5, 5, 5)).shape == (1, 3)


def test_wheel_of_baker_et_al() -> None:
    wheel = flow_wheel()
    assert wheel.shape == (55, 3)
    assert wheel[0].tolist() == [255, 0, 0]
    assert wheel[15].tolist() == [255, 255, 0]  # 15 steps from red to yellow
    assert wheel[15 + 6].tolist() == [0, 255, 0]
    assert wheel[15 + 6 + 4].tolist() == [0, 255, 255]
    assert wheel[7].tolist() == [255, 119, 0]  # floor(255 * 7 / 15)


def test_flow_colours_by_hand() -> None:
    flow = np.array([[[0, 0], [4, 0], [2, 0], [8, 0]]], float)
    rest, full, half, beyond = flow_colours(flow, 4.0)[0].tolist()
    assert rest == [255, 255, 255]
    assert full == [255, 0, 0]  # to the right: red
    assert half == [255, 127, 127]
    assert beyond == [191, 0, 0]


def test_the_wheel_has_no_seam() -> None:
    up, down = flow_colours(np.array([[[1, -1e-3], [1, 1e-3]]]), 1.01)[0].astype(int)
    assert np.abs(up - down).max() <= 3


def test_opposite_directions_have_different_hues() -> None:
    angles = np.linspace(0, 2 * np.pi, 9)[:8]
    colours = flow_colours(np.stack([np.cos(angles), np.sin(angles)], -1)[None], 1.0)
    hues = cv2.cvtColor(colours, cv2.COLOR_RGB2HSV)[0, :, 0].astype(int)
    assert len(set(hues.tolist())) == 8
    assert np.abs(hues[:4] - hues[4:]).min() > 20


def test_near_is_red_and_far_is_blue() -> None:
    near, middle, far, beyond = depth_colours(np.array([[1.0, 1.5, 2.0, 7.0]]), 1.0, 2.0)[0].astype(int)
    assert near[0] > 2 * near[2]
    assert middle[1] > 200
    assert far[2] > far[0]
    assert beyond.tolist() == far.tolist()


def test_markers_grow_with_the_picture_and_never_vanish() -> None:
    assert marker_radius((32, 32)) == 2
    assert 3 < marker_radius((640, 480)) < marker_radius((1920, 1080)) < 8
