"""Distant frames that show a place again: which of them a source frame gets, and where its points are in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence import revisits as module
from omnitrack.correspondence.chaining import chain, outward, start_state
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.correspondence.revisits import MOST_STARTS, MOST_TARGETS, SPACING, Revisits
from omnitrack.synthetic import panorama_scene

THRESHOLD_PX = 2.0


class Linked(FlowSource):
    """Links, and the flow of a static camera."""

    size = (64, 48)

    def __init__(self, links: Sequence[tuple[int, int]]) -> None:
        self._links = links

    def has(self, source: int, target: int) -> bool:
        return True

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return np.zeros((48, 64, 2), np.float32)

    def partners(self, frame: int) -> list[int]:
        return sorted({a + b - frame for a, b in self._links if frame in (a, b)})


def test_only_frames_beyond_the_window_that_are_reached_from_within() -> None:
    flows = Linked([(100, 103), (98, 300), (111, 500), (90, 0), (102, 110), (110, 126)])
    revisits = Revisits(flows, 100, range(600), 10, THRESHOLD_PX)
    assert revisits.targets == {300: [98], 0: [90]}, "111 is too far to start from, 126 too near to be a return"


def test_the_nearest_starts_come_first_and_are_few() -> None:
    flows = Linked([(98, 300), (101, 300), (99, 300), (104, 400)])
    assert Revisits(flows, 100, range(600), 10, THRESHOLD_PX).targets == {300: [99, 101], 400: [104]}
    assert MOST_STARTS == 2


def test_targets_are_few_and_apart() -> None:
    flows = Linked([(100, 200 + 5 * i) for i in range(60)])
    targets = sorted(Revisits(flows, 100, range(600), 10, THRESHOLD_PX).targets)
    assert targets == [200 + 20 * i for i in range(MOST_TARGETS)]
    assert np.diff(targets).min() >= SPACING


def test_of_two_ways_the_consistent_one_is_taken() -> None:
    class Wrong(Linked):
        """Flow from frame 99 to a wrong position, which the way back does not confirm."""

        def flow(self, source: int, target: int) -> NDArray[np.float32]:
            wrong = (source, target) == (99, 300)
            return np.full((48, 64, 2), 9.0 if wrong else 0.0, np.float32)

    point = np.array([[30, 20]], np.float32)
    for links in ([(99, 300), (101, 300)], [(101, 300), (98, 300)]):
        revisits = Revisits(Wrong(links), 100, range(600), 10, THRESHOLD_PX)
        for frame in (99, 98, 101):
            revisits.pass_by(frame, start_state(point))
        ((target, state),) = revisits.found()
        assert target == 300
        assert state.visible.tolist() == [True]
        np.testing.assert_array_equal(state.pixels, point)


def test_what_was_not_passed_is_not_found() -> None:
    revisits = Revisits(Linked([(98, 300), (104, 400)]), 100, range(600), 10, THRESHOLD_PX)
    revisits.pass_by(104, start_state(np.array([[30, 20]], np.float32)))
    assert [target for target, _ in revisits.found()] == [400]


@pytest.mark.parametrize("source", [4, 8])
def test_points_are_found_where_they_are_when_the_camera_comes_back(
    exact_flows: type, monkeypatch: pytest.MonkeyPatch, source: int
) -> None:
    """Out in 20 frames and back in 20; frame 40 - t shows the same as frame t."""
    monkeypatch.setattr(module, "SPACING", 4)
    scene = panorama_scene((64, 48), 41, sweep=20)
    exact = exact_flows(scene)

    class Panorama(Linked):
        def flow(self, source: int, target: int) -> NDArray[np.float32]:
            return exact.flow(source, target)

    flows, grid = Panorama([(6, 34), (10, 30)]), pixel_grid((64, 48), 4)
    revisits = Revisits(flows, source, range(41), 8, THRESHOLD_PX)
    revisits.pass_by(source, start_state(grid))
    for targets in outward(source, range(41), 8):
        for target, state in chain(flows, source, grid, targets, (1, 2, 4), THRESHOLD_PX):
            revisits.pass_by(target, state)
    found = dict(revisits.found())
    assert sorted(found) == [30, 34]
    tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), source), grid]))
    for target, state in found.items():
        believed = state.visible & visible[:, target]
        assert believed.mean() > 0.4
        assert np.mean(visible[:, target][state.visible]) > 0.95
        assert np.quantile(np.linalg.norm(state.pixels - tracks[:, target], axis=-1)[believed], 0.95) < 0.1
