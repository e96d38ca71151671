from __future__ import annotations

import numpy as np
import pytest

from omnitrack.drawing.tracks import camera_motion, draw_mesh, draw_points, draw_trails, grid_edges, without_camera

GREY = np.full((40, 60, 3), 90, np.uint8)
RED = np.array([[255, 0, 0]], np.uint8)
YES, NO = np.array([True]), np.array([False])


def redness(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture[..., 0].astype(float) - picture[..., 1], 0, None)


def test_a_visible_point_is_a_disc_where_it_was_put() -> None:
    picture = draw_points(GREY, np.array([[20.3, 11.6]]), YES, RED, 4.0)
    weight = redness(picture)
    y, x = np.indices(weight.shape)
    assert (weight * x).sum() / weight.sum() == pytest.approx(20.3, abs=0.1)
    assert (weight * y).sum() / weight.sum() == pytest.approx(11.6, abs=0.1)
    assert (weight > 128).sum() == pytest.approx(np.pi * 4**2, rel=0.15)
    assert picture[12, 20].tolist() == [255, 0, 0]
    assert (GREY == 90).all()  # the input is unchanged


def test_an_occluded_point_is_a_ring() -> None:
    picture = draw_points(GREY, np.array([[20.0, 12.0]]), NO, RED, 5.0)
    assert picture[12, 20].tolist() == [90, 90, 90]
    assert redness(picture)[12, 25] > 100
    assert (draw_points(GREY, np.array([[20.0, 12.0]]), NO, RED, 5.0, hidden=False) == GREY).all()


def test_points_that_are_nowhere_are_left_out() -> None:
    nowhere = np.array([[np.nan, 3.0], [np.inf, 3.0], [1e9, -1e9], [-30.0, 5.0]])
    picture = draw_points(GREY, nowhere, np.array([True, False, True, True]), np.tile(RED, (4, 1)), 4.0)
    np.testing.assert_array_equal(picture, GREY)


def test_trails_fade_with_age_and_where_hidden() -> None:
    path = np.array([[[5.0, 10.0], [20.0, 10.0], [35.0, 10.0], [50.0, 10.0]]])
    seen = redness(draw_trails(GREY, path, np.ones((1, 4), bool), RED))
    assert 20 < seen[10, 12] < seen[10, 27] < seen[10, 42]
    assert seen[10, 42] > 220
    assert seen[16:].max() == 0
    hidden = redness(draw_trails(GREY, path, np.array([[True, True, False, True]]), RED))
    assert hidden[10, 12] == seen[10, 12]
    assert 20 < hidden[10, 27] < 0.5 * seen[10, 27]


def test_one_position_leaves_no_trail() -> None:
    np.testing.assert_array_equal(draw_trails(GREY, np.array([[[5.0, 5.0]]]), np.array([[True]]), RED), GREY)


def test_edges_of_a_grid_with_a_hole() -> None:
    queries = np.array([[0, x, y] for y in (4.0, 12.0) for x in (4.0, 12.0, 20.0)])
    edges = {tuple(edge) for edge in grid_edges(queries).tolist()}
    assert edges == {(0, 1), (1, 2), (3, 4), (4, 5), (0, 3), (1, 4), (2, 5)}
    holed = grid_edges(np.delete(queries, 1, 0)).tolist()  # left: 0=(4,4) 1=(20,4) 2=(4,12) 3=(12,12) 4=(20,12)
    assert {tuple(edge) for edge in holed} == {(2, 3), (3, 4), (0, 2), (1, 4)}


def test_frames_make_grids_of_their_own_and_scattered_points_none() -> None:
    assert len(grid_edges(np.array([[0, 4.0, 4.0], [1, 12.0, 4.0]]))) == 0
    assert grid_edges(np.random.default_rng(0).uniform(0, 50, (20, 3)) * [0, 1, 1]).shape == (0, 2)


def test_a_mesh_breaks_at_hidden_points_and_leaves_out_torn_lines() -> None:
    pixels = np.array([[5.0, 5.0], [15.0, 5.0], [5.0, 15.0], [55.0, 15.0]])
    edges, lengths = np.array([[0, 1], [2, 3]]), np.array([10.0, 10.0])
    colours = np.tile(RED, (4, 1))
    picture = redness(draw_mesh(GREY, pixels, np.ones(4, bool), colours, edges, lengths))
    assert picture[5, 10] > 220
    assert picture[15].max() == 0  # stretched to five times its length
    half = redness(draw_mesh(GREY, pixels, np.array([True, False, True, True]), colours, edges, lengths))
    assert half[5, 7] > 220 and half[5, 13:].max() == 0  # up to the middle
    hidden = draw_mesh(GREY, pixels, np.array([False, False, True, True]), colours, edges, lengths)
    np.testing.assert_array_equal(hidden, GREY)


def turning(points: np.ndarray, num_frames: int) -> np.ndarray:
    """Tracks of points of a plane that turns about (30, 20), grows and shifts."""
    tracks = []
    for t in range(num_frames):
        cos, sin = 1.01**t * np.cos(0.03 * t), 1.01**t * np.sin(0.03 * t)
        tracks.append((points - [30, 20]) @ np.array([[cos, sin], [-sin, cos]]) + [30 + 2 * t, 20 - t])
    return np.stack(tracks, 1)


def test_camera_motion_is_found_beside_a_moving_object() -> None:
    rng = np.random.default_rng(0)
    scene = turning(rng.uniform(0, 60, (60, 2)), 6)
    thing = rng.uniform(20, 30, (25, 1, 2)) + np.array([-4.0, 3.0]) * np.arange(6)[None, :, None]
    tracks = np.concatenate([scene, thing])
    visible = np.ones(tracks.shape[:2], bool)
    visible[:5, 3] = False
    tracks[:5, 3] = np.nan
    maps = camera_motion(tracks, visible, 0.5)
    np.testing.assert_array_equal(maps[0], np.eye(3))
    carried = without_camera(tracks, maps)
    still = carried[5:60] - tracks[5:60, -1:]
    assert np.abs(still).max() < 1e-3  # what is static in the scene leaves no trail
    assert np.linalg.norm(carried[60:, 0] - carried[60:, -1], axis=1).min() > 5
    np.testing.assert_array_equal(carried[:, -1], tracks[:, -1])


def test_too_few_points_leave_the_camera_alone() -> None:
    tracks = turning(np.array([[1.0, 2.0], [9.0, 4.0]]), 3)
    np.testing.assert_array_equal(camera_motion(tracks, np.ones((2, 3), bool), 1.0), np.tile(np.eye(3), (3, 1, 1)))
