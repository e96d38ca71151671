"""Metrics against values computed by hand, and against slow loops written from the definitions."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import (
    METRICS,
    mean_metrics,
    score_video,
    scored_frames,
    temporal_coherence,
)

NAN = float("nan")
Case = tuple[NDArray, NDArray, NDArray, NDArray, NDArray]


def by_hand_case() -> Case:
    """One query at frame 1 of five; the ground truth stays at (128, 128) px of 256 and is occluded in frame 3."""
    points = np.full((1, 5, 2), 0.5)
    occluded = np.array([[False, False, False, True, False]])
    # Distances in px at 256: 0.5 (predicted occluded), the query, 3, 0 (predicted visible, but occluded), 5 by 3-4-5.
    offsets = np.array([[[0.5, 0], [100, 0], [0, 3], [0, 0], [3, -4]]])
    visible = np.array([[False, False, True, True, True]])
    return points, occluded, points + offsets / 256, visible, np.array([1])


def test_strided_by_hand() -> None:
    metrics = score_video(*by_hand_case(), "strided")
    # Scored frames 0, 2, 3, 4; ground truth visible in 0, 2, 4.
    assert metrics["occlusion_accuracy"] == 2 / 4
    assert [metrics[f"pts_within_{d}"] for d in (1, 2, 4, 8, 16)] == [1 / 3, 1 / 3, 2 / 3, 1, 1]
    # True positives 0, 0, {2}, {2, 4}, {2, 4}; false positives {2, 3, 4}, {2, 3, 4}, {3, 4}, {3}, {3}.
    assert [metrics[f"jaccard_{d}"] for d in (1, 2, 4, 8, 16)] == [0, 0, 1 / 5, 2 / 4, 2 / 4]
    assert metrics["average_pts_within_thresh"] == pytest.approx((1 / 3 + 1 / 3 + 2 / 3 + 2) / 5)
    assert metrics["average_jaccard"] == pytest.approx(1.2 / 5)
    # Triples visible in the ground truth: 0, 1, 2 only. Second difference predicted: 0.5 - 200 + 0 and 0 - 0 + 3.
    assert metrics["temporal_coherence"] == pytest.approx(math.hypot(199.5, 3))
    assert tuple(metrics) == METRICS


def test_first_by_hand() -> None:
    metrics = score_video(*by_hand_case(), "first")
    # Scored frames 2, 3, 4; ground truth visible in 2, 4.
    assert metrics["occlusion_accuracy"] == 2 / 3
    assert [metrics[f"pts_within_{d}"] for d in (1, 2, 4, 8, 16)] == [0, 0, 1 / 2, 1, 1]
    assert [metrics[f"jaccard_{d}"] for d in (1, 2, 4, 8, 16)] == [0, 0, 1 / 4, 2 / 3, 2 / 3]
    assert metrics["average_jaccard"] == pytest.approx((1 / 4 + 4 / 3) / 5)


def test_thresholds_are_strict() -> None:
    points, occluded = np.full((1, 6, 2), 0.25), np.zeros((1, 6), bool)
    offsets = np.array([0, 1, 2, 4, 8, 16]) / 256  # exact in binary
    tracks = points + np.stack([offsets, np.zeros(6)], -1)
    metrics = score_video(points, occluded, tracks, ~occluded, np.array([0]), "first")
    assert [metrics[f"pts_within_{d}"] for d in (1, 2, 4, 8, 16)] == [0, 1 / 5, 2 / 5, 3 / 5, 4 / 5]


def test_perfect_prediction() -> None:
    points, occluded, _, _, frames = random_case(3)
    metrics = score_video(points, occluded, points, ~occluded, frames, "strided")
    assert metrics.pop("temporal_coherence") == 0
    assert set(metrics.values()) == {1.0}


def test_scored_frames() -> None:
    frames = np.array([2, 0])
    np.testing.assert_array_equal(scored_frames(frames, 4, "strided"), [[1, 1, 0, 1], [0, 1, 1, 1]])
    np.testing.assert_array_equal(scored_frames(frames, 4, "first"), [[0, 0, 0, 1], [0, 1, 1, 1]])
    with pytest.raises(OmnitrackError, match="no query mode 'last'"):
        scored_frames(frames, 4, "last")


def test_temporal_coherence_of_a_constant_acceleration() -> None:
    time = np.arange(6.0)
    predicted = np.stack([1.5 * time**2, 7 * time], -1)[None]  # second difference (3, 0), none in the ground truth
    truth = np.zeros((1, 6, 2))
    seen = np.ones((1, 6), bool)
    assert temporal_coherence(truth, seen, predicted) == pytest.approx(3)
    seen[0, 2] = False  # leaves the triple 3, 4, 5
    predicted[0, :3] = 1e6
    assert temporal_coherence(truth, seen, predicted) == pytest.approx(3)


def test_temporal_coherence_ignores_visibility_and_the_query_frame() -> None:
    points, occluded, tracks, visible, frames = random_case(5)
    expected = score_video(points, occluded, tracks, visible, frames, "strided")["temporal_coherence"]
    assert score_video(points, occluded, tracks, ~visible, frames, "first")["temporal_coherence"] == expected


# --- an independent implementation ------------------------------------------------------------------------------
def slow_metrics(
    points: NDArray, occluded: NDArray, tracks: NDArray, visible: NDArray, query_frames: NDArray, mode: str
) -> dict[str, float]:
    """Count frame by frame, with true positives, false positives and false negatives kept apart."""
    result: dict[str, Any] = {}
    count, length = occluded.shape
    everywhere = [(n, t) for n in range(count) for t in range(length)]
    cells = [(n, t) for n, t in everywhere if t > query_frames[n] or (mode == "strided" and t < query_frames[n])]
    result["occlusion_accuracy"] = share([bool(visible[c]) != bool(occluded[c]) for c in cells])
    for threshold in (1, 2, 4, 8, 16):
        near = {c: math.dist(256 * points[c], 256 * tracks[c]) < threshold for c in cells}
        result[f"pts_within_{threshold}"] = share([near[c] for c in cells if not occluded[c]])
        hits = sum(near[c] and visible[c] and not occluded[c] for c in cells)
        false_alarms = sum(bool(visible[c]) and (occluded[c] or not near[c]) for c in cells)
        misses = sum(not occluded[c] and not (near[c] and visible[c]) for c in cells)
        total = hits + false_alarms + misses
        result[f"jaccard_{threshold}"] = hits / total if total else NAN
    for name, kind in (("average_jaccard", "jaccard"), ("average_pts_within_thresh", "pts_within")):
        result[name] = sum(result[f"{kind}_{d}"] for d in (1, 2, 4, 8, 16)) / 5
    lengths = []
    for n in range(count):
        for t in range(1, length - 1):
            if not (occluded[n, t - 1] or occluded[n, t] or occluded[n, t + 1]):
                bend = [256 * (p[n, t + 1] - 2 * p[n, t] + p[n, t - 1]) for p in (tracks, points)]
                lengths.append(math.dist(*bend))
    result["temporal_coherence"] = share(lengths)
    return result


def share(values: list[Any]) -> float:
    return sum(values) / len(values) if values else NAN


def random_case(seed: int, queries: int = 7, length: int = 9, hidden: float = 0.3) -> Case:
    random = np.random.default_rng(seed)
    points = random.random((queries, length, 2))
    tracks = points + random.normal(size=points.shape) * 2.0 ** random.uniform(-9, -3, (queries, length, 1))
    frames = random.integers(0, length, queries)
    occluded = random.random((queries, length)) < hidden
    return points, occluded, tracks, random.random((queries, length)) < 0.6, frames


@pytest.mark.parametrize("mode", ["strided", "first"])
@pytest.mark.parametrize(
    "case",
    [
        *(random_case(seed) for seed in range(20)),
        random_case(30, queries=1, length=2),
        random_case(31, hidden=1.0),  # visible in the prediction only
        random_case(32, hidden=0.0),
        random_case(33, queries=0),
        (*random_case(34, hidden=1.0)[:3], np.zeros((7, 9), bool), np.full(7, 4)),  # nothing visible at all
        (*random_case(35)[:4], np.full(7, 8)),  # `first` from the last frame: nothing scored
    ],
)
def test_against_slow_loops(case: Case, mode: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = score_video(*case, mode)
    expected = slow_metrics(*case, mode)
    assert metrics == pytest.approx(expected, nan_ok=True, abs=1e-12)


def test_undefined_metrics() -> None:
    points, _, tracks, _, frames = random_case(1)
    hidden, unseen = np.ones((7, 9), bool), np.zeros((7, 9), bool)
    metrics = score_video(points, hidden, tracks, unseen, frames, "strided")
    assert metrics["occlusion_accuracy"] == 1
    assert math.isnan(metrics["average_jaccard"])
    assert math.isnan(metrics["average_pts_within_thresh"])
    assert math.isnan(metrics["temporal_coherence"])
    # Predicted visible where nothing is visible: false positives make the Jaccard index a defined zero.
    assert score_video(points, hidden, tracks, ~unseen, frames, "strided")["average_jaccard"] == 0


def test_positions_of_hidden_points_are_not_read() -> None:
    points, occluded, tracks, visible, frames = random_case(2)
    expected = score_video(points, occluded, tracks, visible, frames, "strided")
    points[occluded] = np.nan
    assert score_video(points, occluded, tracks, visible, frames, "strided") == expected


def test_queries_do_not_influence_each_other() -> None:
    points, occluded, tracks, visible, frames = random_case(4)
    order = np.random.default_rng(0).permutation(len(frames))
    shuffled = score_video(*(a[order] for a in (points, occluded, tracks, visible, frames)), "strided")
    assert shuffled == pytest.approx(score_video(points, occluded, tracks, visible, frames, "strided"))


def test_mean_is_over_videos_where_defined() -> None:
    one = dict.fromkeys(METRICS, 0.5)
    two = dict.fromkeys(METRICS, 1.0) | {"temporal_coherence": NAN}
    nothing = dict.fromkeys(METRICS, NAN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mean = mean_metrics([one, two, nothing])
        assert all(math.isnan(value) for value in mean_metrics([nothing]).values())
    assert mean["average_jaccard"] == 0.75
    assert mean["temporal_coherence"] == 0.5
