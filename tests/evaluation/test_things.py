"""Counts of tracked points, by hand."""

from __future__ import annotations

import numpy as np

from omnitrack.evaluation.things import score_things


def test_three_points_counted_by_hand() -> None:
    """Four frames of 20 x 10. In frame 1, one ball point is occluded, another is outside; a tree point stays."""
    truth = np.array(
        [[[5, 5], [6, 5], [7, 5], [8, 5]], [[18, 5], [22, 5], [18, 5], [17, 5]], [[3, 3]] * 4],
        np.float64,
    )
    occluded = np.array([[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]], bool)
    shifts = np.array([[0, 50, 3.9, 4.1], [0, 0, 0, 0], [0, 0, 5, 0]])
    near = truth + np.stack([shifts, np.zeros_like(shifts)], -1)
    seen = np.ones((3, 4), bool)
    found = score_things(
        ["ball", "ball", "tree"],
        np.zeros(3, int),
        truth,
        occluded,
        {"ours": (near, seen), "exact": (truth, seen), "blind": (truth, ~seen)},
        (20, 10),
    )
    assert list(found) == ["ball", "tree"]
    ball, tree = found["ball"], found["tree"]
    assert (ball.points, tree.points) == (2, 1)
    assert ball.near == {"ours": 3 / 4, "exact": 1.0, "blind": 1.0}  # frames 2 and 3 of both
    assert tree.near["ours"] == 2 / 3
    assert ball.hidden == 1  # the point outside the frame is not occluded
    assert tree.hidden == 0
    assert ball.found_again == {"ours": 0, "exact": 1, "blind": 0}  # one frame of two is not most of them


def test_a_point_that_is_asked_for_in_its_last_frame_is_not_scored() -> None:
    truth, occluded = np.zeros((1, 3, 2)), np.array([[True, True, False]])
    found = score_things(["ball"], np.array([2]), truth, occluded, {"ours": (truth, ~occluded)}, (4, 4))
    assert (found["ball"].points, found["ball"].hidden, found["ball"].near) == (0, 0, {"ours": 0.0})
