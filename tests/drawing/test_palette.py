from __future__ import annotations

import cv2
import numpy as np
import pytest

from omnitrack.drawing.flow import flow_colours
from omnitrack.drawing.palette import flow_wheel, label_colours, marker_radius, oklab_to_rgb, position_colours
from omnitrack.drawing.scale import depth_colours, smooth_depth


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
    assert colours[4].tolist() == colours[2].tolist()  # outside the box: as at its edge
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


def test_near_is_yellow_and_far_is_dark_blue_in_even_steps() -> None:
    """The ends of viridis as its authors publish them, and lightness that increases evenly in between."""
    shown = depth_colours(np.linspace(2.0, 1.0, 33)[None], 1.0, 2.0)[0]
    assert shown[0].tolist() == pytest.approx([68, 1, 84], abs=2)
    assert shown[-1].tolist() == pytest.approx([253, 231, 37], abs=2)
    np.testing.assert_array_equal(depth_colours(np.array([[0.5, 7.0]]), 1.0, 2.0)[0], shown[[-1, 0]])
    lightness = cv2.cvtColor(np.float32(shown[None] / 255), cv2.COLOR_RGB2Lab)[0, :, 0]
    steps = np.diff(lightness)
    assert steps.min() > 0.5 * steps.mean() and steps.max() < 1.5 * steps.mean()


def test_specks_go_and_edges_of_depth_stay() -> None:
    depth = np.repeat(np.float32([[1] * 20 + [2] * 20]), 30, 0)
    depth[5, 5] = depth[20:22, 30] = 9
    smooth = smooth_depth(depth)
    assert smooth.max() <= 2
    assert (smooth[:, :16] == 1).all() and (smooth[:, 24:] == 2).all()
    assert (np.diff(smooth[10]) >= 0).all()


def test_markers_grow_with_the_picture_and_never_vanish() -> None:
    assert marker_radius((32, 32)) == 2
    assert 3 < marker_radius((640, 480)) < marker_radius((1920, 1080)) < 8


def test_labels_are_told_apart() -> None:
    assert label_colours(2).tolist() == [[230, 159, 0], [86, 180, 233]]
    many = label_colours(20).astype(int)
    apart = np.abs(many[:, None] - many[None]).max(-1) + 255 * np.eye(20, dtype=int)
    assert many.shape == (20, 3) and apart.min() > 30
    assert np.array_equal(many[:7], label_colours(7))
    assert label_colours(0).shape == (0, 3)
