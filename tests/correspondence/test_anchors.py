"""Which anchor of a point serves in which frame: cases solved by hand."""

from __future__ import annotations

import numpy as np

from omnitrack.correspondence.anchors import Anchors, serving_anchors

SIZE = (256, 256)
LINE = np.stack([10.0 + 5 * np.arange(10), np.full(10, 50.0)], -1).astype(np.float32)  # the ground truth


def served(frames: list[int], places: list[np.ndarray], confidence: list[list[float]]) -> list[int]:
    """Return the rows of the anchors that serve one point in each frame."""
    pixels = np.stack([place[frame] for place, frame in zip(places, frames, strict=True)])
    anchors = Anchors(np.zeros(len(frames), int), np.array(frames), pixels)
    return serving_anchors(anchors, np.stack(places), np.array(confidence, np.float32), SIZE)[0].tolist()


def test_a_single_anchor_serves_everywhere() -> None:
    anchors = Anchors.of(4, LINE[:3])
    found = serving_anchors(anchors, np.zeros((3, 10, 2), np.float32), np.zeros((3, 10), np.float32), SIZE)
    assert found.tolist() == [[0] * 10, [1] * 10, [2] * 10]
    assert anchors.mask(10).sum(1).tolist() == [1, 1, 1]


def test_two_that_agree_share_the_frames_between_them() -> None:
    assert served([0, 9], [LINE, LINE], [[0.9] * 10] * 2) == [0] * 5 + [1] * 5


def test_the_surer_one_serves_longer() -> None:
    lost_after_3 = [0.9] * 4 + [0.0] * 6
    assert served([0, 9], [LINE, LINE], [lost_after_3, [0.9] * 10])[:5] == [0, 0, 0, 0, 1]
    assert served([1, 8], [LINE, LINE], [[0.9] * 10, [0.0] * 6 + [0.9] * 4]) == [0] * 6 + [1] * 4


def test_a_sure_way_that_ends_elsewhere_serves_only_while_it_agrees() -> None:
    """One chain stops at frame 3 and is fully sure; the one back from the pin is less sure (0.3 a frame) and arrives.

    Switching after frame 3 costs the mean distance around it, (0 + 5) / 2 px of 4 px: more than one frame of doubt.
    """
    slid = LINE.copy()
    slid[3:] = LINE[3]
    assert served([0, 9], [slid, LINE], [[1.0] * 10, [0.7] * 10]) == [0] * 3 + [1] * 7


def test_before_the_first_and_after_the_last_these_serve() -> None:
    found = served([2, 5, 7], [LINE] * 3, [[0.5] * 10] * 3)
    assert found == [0, 0, 0, 0, 1, 1, 2, 2, 2, 2]


def test_points_with_different_anchors_do_not_mix() -> None:
    points, frames = np.array([0, 1, 1, 2]), np.array([3, 0, 9, 5])
    anchors = Anchors(points, frames, LINE[frames])
    found = serving_anchors(anchors, np.stack([LINE] * 4), np.full((4, 10), 0.5, np.float32), SIZE)
    assert found.tolist() == [[0] * 10, [1] * 5 + [2] * 5, [3] * 10]
    assert [(frame, rows.tolist()) for frame, rows in anchors.by_frame()] == [(0, [1]), (3, [0]), (5, [3]), (9, [2])]


def test_the_last_frame_in_which_each_point_is_known() -> None:
    points, frames = np.array([0, 0, 1, 2, 2, 2]), np.array([1, 4, 3, 0, 2, 5])
    assert Anchors(points, frames, np.zeros((6, 2), np.float32)).last_frames().tolist() == [4, 3, 5]
