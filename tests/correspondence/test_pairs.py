"""Which pairs each specification means, against lists made by hand."""

from __future__ import annotations

import itertools
import math

import pytest

from omnitrack.correspondence.keyframes import Keyframes
from omnitrack.correspondence.pairs import AUTO_BY_LENGTH, Pair, has_keyframes, select_pairs
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


def test_keyframe_pairs_of_ten_frames() -> None:
    expected = both_ways(
        *((t, t + 1) for t in range(9)),  # adjacent frames
        *((0, 2), (1, 3), (3, 5), (4, 6), (6, 8), (7, 9)),  # with the enclosing keyframes
        *((0, 3), (3, 6), (6, 9), (0, 6), (3, 9)),  # keyframes one and two apart
        (0, 9),  # a link
    )
    assert select_pairs("keyframe", 10, lambda: Keyframes([0, 3, 6, 9], [(0, 9)])) == expected


def test_without_keyframes_they_are_eight_frames_apart_and_linked_at_four_eight_sixteen() -> None:
    assert {p for p in select_pairs("keyframe", 41) if abs(p[0] - p[1]) >= 8} == set(
        both_ways(
            *((t, t + 8) for t in range(0, 40, 8)),
            *((t, t + 16) for t in range(0, 32, 8)),
            *((0, 32), (8, 40)),
        )
    )


def test_links_fill_the_room_below_t_log_t_from_the_first_on() -> None:
    frames = [*range(0, 999, 8), 999]
    links = [(a, b) for a in frames for b in frames if b - a > 16]
    bare = set(select_pairs("keyframe", 1000, lambda: Keyframes(frames, [])))
    full = set(select_pairs("keyframe", 1000, lambda: Keyframes(frames, links)))
    most = 1000 * math.log2(1000)
    assert most - 2 < len(full) <= most
    assert full - bare == set(both_ways(*links[: len(full - bare) // 2]))


def test_a_short_clip_may_have_one_link_per_keyframe() -> None:
    frames = [0, 3, 6, 9, 12, 15]
    links = [(a, b) for a in frames for b in frames if b - a > 6]
    bare = set(select_pairs("keyframe", 16, lambda: Keyframes(frames, [])))
    full = set(select_pairs("keyframe", 16, lambda: Keyframes(frames, links)))
    assert full - bare == set(both_ways(*links[:6]))


@pytest.mark.parametrize("spec", ["log", "auto", "exhaustive", "window:3", "keyframe"])
@pytest.mark.parametrize("num_frames", [0, 1, 2, 3, 9, 33])
def test_pairs_are_distinct_sorted_in_range_and_come_with_their_reverse(spec: str, num_frames: int) -> None:
    pairs = select_pairs(spec, num_frames)
    assert pairs == sorted(set(pairs))
    assert all(a != b and 0 <= a < num_frames and 0 <= b < num_frames for a, b in pairs)
    assert {(b, a) for a, b in pairs} == set(pairs)
    assert {(t, t + 1) for t in range(num_frames - 1)} <= set(pairs)


@pytest.mark.parametrize("num_frames", [16, 60, 80, 400, 1000])
@pytest.mark.parametrize("gap", [3, 5, 8])
def test_pairs_grow_like_t_log_t(num_frames: int, gap: int) -> None:
    frames = sorted({*range(0, num_frames, gap), num_frames - 1})
    links = [(a, b) for a, b in itertools.combinations(frames, 2) if b - a > 2 * gap]
    count = len(select_pairs("keyframe", num_frames, lambda: Keyframes(frames, links)))
    assert count <= max(num_frames * math.log2(num_frames), 5.75 * num_frames)
    assert len(select_pairs("log", num_frames)) <= 2 * num_frames * math.log2(num_frames)


def test_only_keyframe_asks_for_the_keyframes() -> None:
    def never() -> Keyframes:
        raise AssertionError("keyframes were looked for")

    for spec in ("log", "exhaustive", "window:2"):
        select_pairs(spec, 5, never)
    with pytest.raises(AssertionError):
        select_pairs("keyframe", 5, never)


def test_long_shots_have_keyframes_by_default_and_shorter_ones_do_not() -> None:
    """A clip of 200 frames is matched at gaps 1, 2, 4, ... 128; from 201 on by keyframes."""
    assert select_pairs(AUTO_BY_LENGTH, 200) == select_pairs("log", 200)
    assert select_pairs(AUTO_BY_LENGTH, 201) == select_pairs("keyframe", 201)
    assert len(select_pairs("keyframe", 201)) < len(select_pairs("log", 201)) / 2
    assert [has_keyframes(spec, 201) for spec in ("auto", "log", "keyframe", AUTO_BY_LENGTH)] == [0, 0, 1, 1]


@pytest.mark.parametrize("spec", ["", "all", "window", "window:", "window:0", "window:-2", "window:two", "window:1.5"])
def test_a_bad_specification_is_answered_with_the_list(spec: str) -> None:
    with pytest.raises(OmnitrackError) as caught:
        select_pairs(spec, 5)
    assert repr(spec) in caught.value.message
    for known in ("auto", "log", "exhaustive", "keyframe", "window:N"):
        assert known in (caught.value.hint or "")
