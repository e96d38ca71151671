"""The learning rate, the window of frames and the length of pairs, against the published schedules."""

from __future__ import annotations

import itertools

import pytest

from omnitrack.optimize.cadex import LAST_RATE
from omnitrack.optimize.schedule import active_frames, learning_rate_factor, max_interval, ramp
from omnitrack.settings import EXPONENTIAL, LINEAR


def test_rate_starts_whole_and_falls_by_a_third_every_5000_of_22000_steps() -> None:
    assert learning_rate_factor(0, EXPONENTIAL, LAST_RATE) == 1.0
    assert learning_rate_factor(5_000 / 22_000, EXPONENTIAL, LAST_RATE) == pytest.approx(0.33)
    assert learning_rate_factor(10_000 / 22_000, EXPONENTIAL, LAST_RATE) == pytest.approx(0.33**2)


def test_a_linear_rate_falls_to_zero() -> None:
    assert [learning_rate_factor(share, LINEAR, LAST_RATE) for share in (0, 0.25, 1)] == [1, 0.75, 0]


def test_ramp_by_hand() -> None:
    found = [ramp(share, 0.4, 0.6) for share in (0, 0.4, 0.45, 0.5, 0.6, 1)]
    assert found == pytest.approx([0, 0, 0.25, 0.5, 1, 1])


def test_rate_falls_without_stairs() -> None:
    rates = [learning_rate_factor(step / 100, EXPONENTIAL, LAST_RATE) for step in range(101)]
    assert all(later < earlier for earlier, later in itertools.pairwise(rates))
    assert rates[-1] == pytest.approx(0.33**4.4)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, (40, 60)),  # twenty frames around the middle of 100
        (99, (40, 60)),
        (100, (30, 70)),  # twenty more every hundred steps of 22,000
        (399, (10, 90)),  # three growths
        (400, (0, 100)),
        (21_999, (0, 100)),
    ],
)
def test_window_of_a_long_clip(step: int, expected: tuple[int, int]) -> None:
    assert active_frames(step / 22_000, 100) == expected


@pytest.mark.parametrize("num_frames", [2, 8, 20, 21])
def test_short_clips_are_used_whole_from_the_start(num_frames: int) -> None:
    assert active_frames(0, num_frames) == (0, num_frames)


@pytest.mark.parametrize("num_frames", [22, 45, 101, 300])
def test_window_only_grows_and_stays_on_the_clip(num_frames: int) -> None:
    last = active_frames(0, num_frames)
    assert last[1] - last[0] == 20
    for step in range(1, 1000):
        now = active_frames(step / 1000, num_frames)
        assert 0 <= now[0] <= last[0]
        assert last[1] <= now[1] <= num_frames
        last = now
    assert last == (0, num_frames)


@pytest.mark.parametrize("steps", [1, 7, 1600, 22_000])
def test_window_grows_at_whole_steps_however_the_share_is_rounded(steps: int) -> None:
    for step in range(steps):
        length = 20 * (1 + 220 * step // steps)
        first = max(0, 5000 - length // 2)
        assert active_frames(step / steps, 10_000) == (first, first + length)


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 20), (1_999, 20), (2_000, 21), (58_000, 49), (99_999, 69), (100_000, 70)]
)
def test_pairs_grow_by_a_frame_every_2000_of_100000_steps(step: int, expected: int) -> None:
    assert max_interval(step / 100_000, 200) == expected


@pytest.mark.parametrize("steps", [1, 7, 1600, 22_000])
def test_pairs_grow_by_fifty_frames_in_a_run_of_any_length(steps: int) -> None:
    assert [max_interval(step / steps, 71) for step in range(steps)] == [
        20 + 50 * step // steps for step in range(steps)
    ]


@pytest.mark.parametrize(("num_frames", "expected"), [(2, 1), (20, 19), (21, 20), (22, 20), (60, 20)])
def test_pairs_stay_on_the_clip(num_frames: int, expected: int) -> None:
    assert max_interval(0.0, num_frames) == expected
    assert max_interval(1.0, num_frames) == min(70, num_frames - 1)
