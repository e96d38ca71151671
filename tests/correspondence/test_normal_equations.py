"""Normal equations of tracks: the full matrix and its band, against a written-out sum of squares."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.normal_equations import BandedEquations, DenseEquations, Equations

POINTS, FRAMES, SMOOTHNESS = 3, 12, 0.3
TIES = [(0, 1), (2, 1), (3, 7), (11, 7), (5, 6), (8, 11), (6, 2)]


@pytest.fixture
def written_out() -> tuple[list[tuple[str, tuple]], NDArray[np.float64]]:
    """Calls, and the solution by least squares with one row per term."""
    rng = np.random.default_rng(4)
    weights = rng.uniform(0.1, 2, (POINTS, FRAMES))
    places = rng.normal(0, 10, (POINTS, FRAMES, 2))
    now = np.zeros((POINTS, FRAMES, 2))
    calls = [("pull", (np.arange(FRAMES), weights, places)), ("pull", (4, 50.0, places[:, 0]))]
    calls += [("tie", (k, j, rng.uniform(0.1, 2, POINTS), rng.normal(0, 3, (POINTS, 2)), now)) for k, j in TIES]
    solutions = []
    for p in range(POINTS):
        rows, sides = [], []
        for row in np.diff(np.eye(FRAMES), n=2, axis=0):
            rows.append(np.sqrt(SMOOTHNESS) * row)
            sides.append(np.zeros(2))
        for t in range(FRAMES):
            rows.append(np.sqrt(weights[p, t]) * np.eye(FRAMES)[t])
            sides.append(np.sqrt(weights[p, t]) * places[p, t])
        rows.append(np.sqrt(50) * np.eye(FRAMES)[4])
        sides.append(np.sqrt(50) * places[p, 0])
        for _, (k, j, weight, motion, _) in calls[2:]:
            rows.append(np.sqrt(weight[p]) * (np.eye(FRAMES)[j] - np.eye(FRAMES)[k]))
            sides.append(np.sqrt(weight[p]) * motion[p])
        solutions.append(np.linalg.lstsq(np.array(rows), np.array(sides), rcond=None)[0])
    return calls, np.array(solutions)


@pytest.mark.parametrize("width", [None, 4, 7, 40])
def test_both_solve_what_is_written_out(written_out: tuple, width: int | None) -> None:
    calls, expected = written_out
    empty: Equations = (
        DenseEquations.smooth(POINTS, FRAMES, SMOOTHNESS)
        if width is None
        else BandedEquations.smooth(POINTS, FRAMES, SMOOTHNESS, width)
    )
    for name, arguments in calls:
        getattr(empty, name)(*arguments)
    np.testing.assert_allclose(empty.solve(), expected, atol=1e-9)
    np.testing.assert_allclose(empty.divided(7.0).solve(), expected, atol=1e-9)
    np.testing.assert_allclose(empty.solve(), expected, atol=1e-9, err_msg="solving changes nothing")
    changed = empty.copy()
    changed.pull(3, 10.0, np.full((POINTS, 2), 99.0))
    assert np.abs(changed.solve() - expected).max() > 1
    np.testing.assert_allclose(empty.solve(), expected, atol=1e-9, err_msg="a copy is another one")


def test_ties_beyond_the_band_settle_where_the_whole_matrix_has_its_solution(written_out: tuple) -> None:
    calls, expected = written_out
    now = np.zeros((POINTS, FRAMES, 2))
    for _ in range(200):
        equations = BandedEquations.smooth(POINTS, FRAMES, SMOOTHNESS, 2)
        for name, arguments in calls:
            getattr(equations, name)(*arguments[:4], now) if name == "tie" else getattr(equations, name)(*arguments)
        now = equations.solve()
    np.testing.assert_allclose(now, expected, atol=1e-6)


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_very_short_clips(num_frames: int) -> None:
    places = np.random.default_rng(0).normal(size=(2, num_frames, 2))
    for empty in (
        DenseEquations.smooth(2, num_frames, SMOOTHNESS),
        BandedEquations.smooth(2, num_frames, SMOOTHNESS, 5),
    ):
        empty.pull(np.arange(num_frames), np.full((2, num_frames), 1e9), places)
        np.testing.assert_allclose(empty.solve(), places, atol=1e-6)
