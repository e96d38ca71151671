"""Blank areas: a wall moves with its marks, a blank object with its outline, and texture keeps its measured flow."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.blank_areas import BlankAreas
from omnitrack.correspondence.estimators import open_estimator
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate
from omnitrack.correspondence.estimators.surroundings import WithSurroundings
from omnitrack.settings import FlowSettings

SIDE = 256
Y, X = np.mgrid[:SIDE, :SIDE]
DISC = np.hypot(X - 130, Y - 90) < 45
WALL_MOTION, DISC_MOTION = np.float32([3, -2]), np.float32([-6, 4])


def as_frame(grey: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.repeat(np.clip(np.rint(grey), 0, 255).astype(np.uint8)[..., None], 3, -1)


def wall_and_blank_disc() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A wall with a row of marks at the bottom, a dark blank disc, and its flow: right on texture, noise elsewhere."""
    rng = np.random.default_rng(0)
    grey = np.full((SIDE, SIDE), 190.0)
    marks = np.zeros_like(DISC)
    for x in range(30, 240, 30):
        marks |= np.hypot(X - x, Y - 225) < 3
    grey[marks] = 90
    grey[DISC] = 60
    near_mark = np.abs(Y - 225) < 8
    rim = np.abs(np.hypot(X - 130, Y - 90) - 45) < 6  # as wide as a search's patches: the wall moves with it
    flow = rng.normal(0, 5, (SIDE, SIDE, 2)).astype(np.float32)
    flow[near_mark] = WALL_MOTION
    flow[rim] = DISC_MOTION
    return as_frame(grey), flow


def test_a_wall_follows_its_marks_and_a_blank_thing_its_outline() -> None:
    frame, flow = wall_and_blank_disc()
    found = BlankAreas(frame).follow(flow)
    inside = np.hypot(X - 130, Y - 90) < 35
    outside = (np.hypot(X - 130, Y - 90) > 60) & (Y < 210)
    assert np.median(np.linalg.norm(flow - WALL_MOTION, axis=-1)[outside]) > 5
    assert np.percentile(np.linalg.norm(found - WALL_MOTION, axis=-1)[outside], 95) < 1  # the motions differ by 10.8
    assert np.percentile(np.linalg.norm(found - DISC_MOTION, axis=-1)[inside], 95) < 1


def test_texture_stays_as_it_was_measured() -> None:
    rng = np.random.default_rng(1)
    frame = as_frame(np.kron(rng.uniform(40, 220, (64, 64)), np.ones((4, 4))))
    flow = np.where(DISC[..., None], DISC_MOTION, WALL_MOTION)  # discontinuous, and certain on both sides
    assert np.abs(BlankAreas(frame).follow(flow) - flow).max() < 0.1


def test_an_edge_is_certain_across_and_not_along() -> None:
    """Bars that move as a whole: along them the flow is noise, across them it is right."""
    grey = np.where(X % 32 < 16, 70.0, 180.0)
    grey[120:136, 120:136] = 240  # the only mark that shows the motion along the bars
    flow = np.zeros((SIDE, SIDE, 2), np.float32)
    flow[..., 0] = 2
    flow[..., 1] = np.random.default_rng(2).normal(0, 4, (SIDE, SIDE))
    flow[116:140, 116:140, 1] = 1
    found = BlankAreas(as_frame(grey)).follow(flow)
    bars = np.abs(X % 16 - 8) > 6
    assert np.abs(found[..., 0] - 2)[bars].max() < 0.05
    assert np.abs(found[..., 1] - 1)[bars].mean() < np.abs(flow[..., 1] - 1)[bars].mean()


@pytest.mark.parametrize("size", [(16, 16), (17, 40), (200, 31)])
def test_frames_of_any_size_and_nothing_to_see(size: tuple[int, int]) -> None:
    width, height = size
    flow = np.tile(np.float32([1, 2]), (height, width, 1))
    found = BlankAreas(np.full((height, width, 3), 128, np.uint8)).follow(flow)
    assert found.dtype == np.float32 and found.shape == flow.shape and np.isfinite(found).all()


class Noisy:
    """An estimator that returns a given estimate."""

    batch_pairs, concurrent = 3, False

    def __init__(self, estimate: FlowEstimate) -> None:
        self._estimate = estimate

    def estimate_pairs(self, pairs: list[tuple[int, int]], initial: list[None]) -> list[FlowEstimate]:
        return [self._estimate for _ in pairs]


def test_who_is_sure_of_himself_is_left_alone() -> None:
    frame, flow = wall_and_blank_disc()
    clip = Clip(lambda _: frame, 2, (SIDE, SIDE), (SIDE, SIDE))
    sure = FlowEstimate(flow, np.ones((SIDE, SIDE), np.float32))
    assert WithSurroundings(Noisy(sure), clip).estimate_pairs([(0, 1)], [None])[0] is sure
    followed = WithSurroundings(Noisy(FlowEstimate(flow)), clip)
    assert (followed.batch_pairs, followed.concurrent) == (3, False)
    found = followed.estimate_pairs([(0, 1)], [None])[0]
    assert np.array_equal(found.flow, BlankAreas(frame).follow(flow))
    assert found.measured is not None and np.array_equal(found.measured, flow)
    broken = FlowEstimate(flow[:9])
    assert WithSurroundings(Noisy(broken), clip).estimate_pairs([(0, 1)], [None])[0] is broken  # the stage reports it


def test_the_setting_opens_it_around_any_estimator() -> None:
    frame, _ = wall_and_blank_disc()
    clip = Clip(lambda _: frame, 2, (SIDE, SIDE), (SIDE, SIDE))
    assert isinstance(open_estimator(FlowSettings(), clip), WithSurroundings)
    assert not isinstance(open_estimator(FlowSettings(surroundings=False), clip), WithSurroundings)
