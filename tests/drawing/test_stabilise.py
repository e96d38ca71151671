"""Maps that hold objects still, against motions that are known by hand."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.drawing.stabilise import _surest, camera_maps, draw_held, thing_maps

RNG = np.random.default_rng(5)


def moved(points: NDArray[np.float64], maps: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Map points (N, 2) by each of T maps (3, 3): (N, T, 2)."""
    homogeneous = np.column_stack([points, np.ones(len(points))])
    seen = np.stack([homogeneous @ each.T for each in maps], 1)
    return seen[..., :2] / seen[..., 2:]


def turn(degrees: float, zoom: float, x: float, y: float) -> NDArray[np.float64]:
    c, s = zoom * np.cos(np.deg2rad(degrees)), zoom * np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]])


def test_a_point_is_shifted_back() -> None:
    tracks = np.array([[[10.0, 20.0], [13.5, 18.0], [30.0, 20.25]]])
    maps = thing_maps(tracks, np.array([[True, False, True]]), 1, 1.0)
    assert maps[:, :2, 2].tolist() == [[3.5, -2.0], [0.0, 0.0], [-16.5, -2.25]]
    assert np.array_equal(maps[:, :2, :2], np.broadcast_to(np.eye(2), (3, 2, 2)))


def test_a_thing_that_turns_and_zooms_stands_still() -> None:
    motion = [turn(4 * t, 1 + 0.05 * t, 3 * t, -2 * t) for t in range(6)]
    points = RNG.uniform(20, 80, (60, 2))
    tracks = moved(points, motion)
    tracks[:12] += RNG.uniform(-30, 30, (12, 6, 2))  # a fifth of them are wrong
    maps = thing_maps(tracks, np.ones((60, 6), bool), 2, 1.0)
    for t in range(6):
        expected = motion[2] @ np.linalg.inv(motion[t])
        np.testing.assert_allclose(maps[t], expected, atol=1e-5)


def test_a_thing_of_a_few_pixels_does_not_swing_the_frame() -> None:
    points = np.stack(np.meshgrid([50.0, 51, 52], [40.0, 41, 42]), -1).reshape(-1, 2)
    tracks = points[:, None] + [[0, 0], [6, 1]] + RNG.uniform(-0.3, 0.3, (9, 2, 2))
    found = thing_maps(tracks, np.ones((9, 2), bool), 0, 1.0)[1]
    assert np.array_equal(found[:2, :2], np.eye(2))
    assert found[:2, 2] == pytest.approx([-6, -1], abs=0.3)


def test_what_is_mostly_hidden_is_held_by_where_it_is_believed() -> None:
    points = RNG.uniform(0, 50, (10, 2))
    tracks = moved(points, [turn(0, 1, 5 * t, 0) for t in range(3)])
    visible = np.ones((10, 3), bool)
    visible[:, 1] = False
    assert thing_maps(tracks, visible, 0, 1.0)[1, :2, 2] == pytest.approx([-5, 0], abs=1e-6)


def test_a_camera_that_turns_is_held_through_what_it_leaves_behind() -> None:
    """Points 200 px apart leave a frame of 100 px one after another; a fifth of the visible ones move on their own."""
    keystone = [np.array([[1, 0, -6.0 * t], [0, 1, 0.5 * t], [1e-5 * t, 0, 1]]) for t in range(40)]
    points = np.column_stack([RNG.uniform(0, 340, 900), RNG.uniform(0, 80, 900)])
    tracks = moved(points, keystone)
    tracks[::5] += np.arange(40)[None, :, None] * (1.5, 0)
    visible = ((tracks >= 0) & (tracks < (100, 80))).all(-1)
    maps = camera_maps(tracks, visible, visible * 0.9, 0, 1.0)
    corners = np.array([(0.0, 0), (99, 0), (0, 79), (99, 79)])
    for t in range(40):
        there = moved(corners, [np.linalg.inv(keystone[t])])[:, 0]
        assert np.abs(moved(corners, [maps[t]])[:, 0] - there).max() < 0.05, t
    back = camera_maps(tracks[:, ::-1], visible[:, ::-1], visible[:, ::-1] * 0.9, 39, 1.0)
    np.testing.assert_allclose(back[::-1], maps, atol=0.05, rtol=1e-3)


def test_points_that_slide_and_say_so_do_not_hold_the_camera() -> None:
    """Two in five, on a plain wall, lag behind by a tenth of the motion, within the tolerance of what follows it."""
    motion = [turn(0, 1, 3 * t, 0) for t in range(6)]
    points = np.column_stack([RNG.uniform(0, 300, 100), RNG.uniform(0, 200, 100)])
    tracks = moved(points, motion)
    slides = points[:, 0] < np.quantile(points[:, 0], 0.4)
    tracks[slides] -= np.arange(6)[:, None] * (0.3, 0.0)
    sure = np.where(slides, 0.5, 0.9)[:, None].repeat(6, 1)
    seen = np.ones((100, 6), bool)
    corners = np.array([(0.0, 0), (300, 200)])
    for confidence, holds in ((sure, True), (np.ones_like(sure), False)):
        held = moved(corners, [camera_maps(tracks, seen, confidence, 0, 3.0)[5]])[:, 0]
        assert (np.abs(held - (corners - (15, 0))).max() < 1e-3) == holds


def test_what_is_sure_and_goes_its_own_way_does_not_hold_the_camera() -> None:
    """Two in five are on an object with more texture than all the rest."""
    points = np.column_stack([RNG.uniform(0, 300, 100), RNG.uniform(0, 200, 100)])
    tracks = moved(points, [turn(0, 1, 3 * t, 0) for t in range(4)])
    tracks[:40] += np.arange(4)[:, None] * (0.0, 9.0)
    sure = np.where(np.arange(100) < 40, 0.99, 0.6)[:, None].repeat(4, 1)
    maps = camera_maps(tracks, np.ones((100, 4), bool), sure, 0, 1.0)
    assert maps[:, 0, 2] == pytest.approx([0, -3, -6, -9], abs=1e-3)


def test_sure_points_on_one_line_do_not_say_it_all() -> None:
    points = np.column_stack([RNG.uniform(0, 300, 60), RNG.uniform(0, 200, 60)])
    points[:20, 1] = 100.0
    motion = [turn(2 * t, 1, 3 * t, 0) for t in range(3)]
    tracks = moved(points, motion) + RNG.normal(0, 0.05, (60, 3, 2))
    sure = np.where(np.arange(60) < 20, 0.9, 0.6)[:, None].repeat(3, 1)
    held = camera_maps(tracks, np.ones((60, 3), bool), sure, 0, 1.0)
    corners = np.array([(0.0, 0), (300, 200), (0, 200)])
    for t in (1, 2):
        assert np.abs(moved(moved(corners, [motion[t]])[:, 0], [held[t]])[:, 0] - corners).max() < 0.3


@pytest.mark.parametrize(
    ("number", "step", "kept"),
    [(60, 0.01, 20), (60, 0.0, 60), (30, 0.01, 12), (9, 0.01, 9), (0, 0.0, 0)],  # step 0: all are equally confident
)
def test_the_surest_third(number: int, step: float, kept: int) -> None:
    there = np.arange(70) < number
    found = _surest(there, 0.9 - step * np.arange(70))
    assert np.flatnonzero(found).tolist() == list(range(kept))


def test_a_frame_without_points_is_held_like_the_one_before() -> None:
    tracks = moved(RNG.uniform(0, 90, (50, 2)), [turn(0, 1, 2 * t, 0) for t in range(4)])
    visible = np.ones((50, 4), bool)
    visible[:, 2] = False
    maps = camera_maps(tracks, visible, visible * 0.9, 0, 1.0)
    assert maps[:, 0, 2] == pytest.approx([0, -2, -2, -6], abs=1e-6)


def test_a_frame_is_drawn_where_its_map_says() -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[10, 20] = 255
    held = draw_held(picture, turn(0, 1, 7, -4))
    assert (held[6, 27] == 255).all()
    assert cv2.countNonZero(held[..., 0]) == 1
