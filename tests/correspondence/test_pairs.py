"""Which pairs each specification stands for, against lists made by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omnitrack.correspondence.pairs import Pair, select_pairs
from omnitrack.errors import OmnitrackError


def both_ways(*pairs: Pair) -> list[Pair]:
    return sorted({*pairs, *((b, a) for a, b in pairs)})


def test_log_pairs_of_six_frames() -> None:
    expected = both_ways((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 2), (1, 3), (2, 4), (3, 5), (0, 4), (1, 5))
    assert select_pairs("log", 6) == expected
    assert select_pairs("auto", 6) == expected


def test_log_reaches_the_largest_power_of_two_below_the_number_of_frames() -> None:
    assert {b - a for a, b in select_pairs("log", 17)} == {g * s for g in (1, 2, 4, 8, 16) for s in (1, -1)}
    assert max(b - a for a, b in select_pairs("log", 16)) == 8


def test_exhaustive_is_every_ordered_pair() -> None:
    assert select_pairs("exhaustive", 3) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


def test_window_limits_the_gap() -> None:
    assert select_pairs("window:2", 4) == both_ways((0, 1), (1, 2), (2, 3), (0, 2), (1, 3))
    assert select_pairs("window:1", 3) == [(0, 1), (1, 0), (1, 2), (2, 1)]
    assert select_pairs("window:99", 3) == select_pairs("exhaustive", 3)


def test_keyframes_where_sixteen_pixels_have_accumulated() -> None:
    motion = np.array([20, 1, 1, 1, 1, 15, 1, 9, 9], float)  # from each of ten frames to the next
    # Keyframe 3: enough moved at frame 1 already, but a keyframe lasts three frames; 6: 1 + 1 + 15; 9: the last.
    expected = both_ways(
        *((t, t + 1) for t in range(9)),  # adjacent frames
        *((0, 2), (1, 3), (3, 5), (4, 6), (6, 8), (7, 9)),  # with the enclosing keyframes
        *((0, 3), (3, 6), (6, 9), (0, 6), (3, 9)),  # keyframes one and two apart
    )
    assert select_pairs("keyframe", 10, lambda: motion) == expected


def test_keyframes_of_a_still_clip_are_eight_frames_apart() -> None:
    still = select_pairs("keyframe", 20, lambda: np.zeros(19))
    assert still == select_pairs("keyframe", 20)
    assert {p for p in still if abs(p[0] - p[1]) >= 8} == set(both_ways((0, 8), (8, 16), (0, 16), (8, 19)))


@pytest.mark.parametrize("spec", ["log", "auto", "exhaustive", "window:3", "keyframe"])
@pytest.mark.parametrize("num_frames", [0, 1, 2, 3, 9, 33])
def test_pairs_are_distinct_sorted_in_range_and_come_with_their_reverse(spec: str, num_frames: int) -> None:
    pairs = select_pairs(spec, num_frames)
    assert pairs == sorted(set(pairs))
    assert all(a != b and 0 <= a < num_frames and 0 <= b < num_frames for a, b in pairs)
    assert {(b, a) for a, b in pairs} == set(pairs)
    assert {(t, t + 1) for t in range(num_frames - 1)} <= set(pairs)


@pytest.mark.parametrize("num_frames", [16, 80, 400])
@pytest.mark.parametrize("step", [0.0, 3.0, 100.0])
def test_pairs_grow_like_t_log_t(num_frames: int, step: float) -> None:
    most = 2 * num_frames * math.log2(num_frames)
    assert len(select_pairs("log", num_frames)) <= most
    assert len(select_pairs("keyframe", num_frames, lambda: np.full(num_frames - 1, step))) <= most


def test_only_keyframe_asks_for_the_motion() -> None:
    def never() -> np.ndarray:
        raise AssertionError("motion was measured")

    for spec in ("log", "exhaustive", "window:2"):
        select_pairs(spec, 5, never)
    with pytest.raises(AssertionError):
        select_pairs("keyframe", 5, never)


@pytest.mark.parametrize("spec", ["", "all", "window", "window:", "window:0", "window:-2", "window:two", "window:1.5"])
def test_a_bad_specification_is_answered_with_the_list(spec: str) -> None:
    with pytest.raises(OmnitrackError) as caught:
        select_pairs(spec, 5)
    assert repr(spec) in caught.value.message
    for known in ("auto", "log", "exhaustive", "keyframe", "window:N"):
        assert known in (caught.value.hint or "")
