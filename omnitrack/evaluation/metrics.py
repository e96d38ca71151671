"""TAP-Vid's metrics and OmniMotion's temporal coherence, for one video at a time.

With v, v^ the true and predicted visibility, x, x^ the positions on the 256 x 256 raster, E the frames that are scored:

    within_d = |x^ - x|^2 < d^2                                     d in 1, 2, 4, 8, 16 px, strict
    pts_within_d = sum_E [v and within_d] / sum_E [v]
    jaccard_d = TP_d / (sum_E [v] + FP_d)                           true positives over truth + false positives
        TP_d = sum_E [v and v^ and within_d],   FP_d = sum_E [v^ and not (v and within_d)]
    occlusion_accuracy = sum_E [v^ = v] / |E|
    average_jaccard, average_pts_within_thresh = means over d
    temporal_coherence = mean |(x^_t-1 - 2 x^_t + x^_t+1) - (x_t-1 - 2 x_t + x_t+1)|

E is every frame except the query frame (`strided`) or every later frame (`first`). Temporal coherence uses all triples
of consecutive frames in which the ground truth is visible, including the query frame, in both query modes and for any
predicted visibility (in `first` the ground truth is occluded before the query, so no earlier frame enters).

A metric whose denominator is zero is undefined: NaN here, null in results, and left out of the mean over the videos.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.units import RASTER_PX

THRESHOLDS = (1, 2, 4, 8, 16)
METRICS = (
    "average_jaccard",
    "average_pts_within_thresh",
    "occlusion_accuracy",
    "temporal_coherence",
    *(f"pts_within_{d}" for d in THRESHOLDS),
    *(f"jaccard_{d}" for d in THRESHOLDS),
)


def score_video(
    points: NDArray[np.floating],
    occluded: NDArray[np.bool_],
    tracks: NDArray[np.floating],
    visible: NDArray[np.bool_],
    query_frames: NDArray[np.integer],
    query_mode: str,
) -> dict[str, float]:
    """Compute all metrics of one video.

    Convention:
        Positions are (x, y) raster fractions of the frame, (0, 0) at the corner of the first pixel.

    Args:
        points: (Q, T, 2) true positions.
        occluded: (Q, T) true occlusion.
        tracks: (Q, T, 2) predicted positions.
        visible: (Q, T) predicted visibility.
        query_frames: (Q,) frame of each query.
        query_mode: ``strided`` or ``first``.

    Returns:
        The value of each of `METRICS`; shares in [0, 1], temporal coherence in px at 256 x 256.
    """
    truth, predicted = np.asarray(points, np.float64) * RASTER_PX, np.asarray(tracks, np.float64) * RASTER_PX
    scored = scored_frames(query_frames, truth.shape[1], query_mode)
    metrics = position_metrics(truth, ~occluded, predicted, visible, scored)
    metrics["temporal_coherence"] = temporal_coherence(truth, ~occluded, predicted)
    return {name: metrics[name] for name in METRICS}


def scored_frames(query_frames: NDArray[np.integer], num_frames: int, query_mode: str) -> NDArray[np.bool_]:
    """(Q, T) bool: whether each frame is scored for each query."""
    frame, query = np.arange(num_frames), np.asarray(query_frames)[:, None]
    if query_mode == "strided":
        return np.asarray(frame != query)
    if query_mode == "first":
        return np.asarray(frame > query)
    raise OmnitrackError(f"there is no query mode {query_mode!r}", "known: strided, first")


def position_metrics(
    truth: NDArray[np.float64],
    truth_visible: NDArray[np.bool_],
    predicted: NDArray[np.float64],
    predicted_visible: NDArray[np.bool_],
    scored: NDArray[np.bool_],
) -> dict[str, float]:
    """Compute shares within each threshold, Jaccard indices, their averages and occlusion accuracy.

    Args:
        truth: (Q, T, 2) px at 256 x 256; ignored where the ground truth is occluded.
        truth_visible: (Q, T).
        predicted: (Q, T, 2) px at 256 x 256.
        predicted_visible: (Q, T).
        scored: (Q, T) frames that count.
    """
    squared_distance = ((predicted - truth) ** 2).sum(-1)
    positives = (truth_visible & scored).sum()
    metrics = {"occlusion_accuracy": _ratio(((predicted_visible == truth_visible) & scored).sum(), scored.sum())}
    for threshold in THRESHOLDS:
        correct = truth_visible & (squared_distance < threshold**2) & scored
        false_positives = (predicted_visible & ~correct & scored).sum()
        metrics[f"pts_within_{threshold}"] = _ratio(correct.sum(), positives)
        metrics[f"jaccard_{threshold}"] = _ratio((correct & predicted_visible).sum(), positives + false_positives)
    metrics["average_pts_within_thresh"] = float(np.mean([metrics[f"pts_within_{d}"] for d in THRESHOLDS]))
    metrics["average_jaccard"] = float(np.mean([metrics[f"jaccard_{d}"] for d in THRESHOLDS]))
    return metrics


def temporal_coherence(
    truth: NDArray[np.float64], truth_visible: NDArray[np.bool_], predicted: NDArray[np.float64]
) -> float:
    """Mean length of the difference in acceleration, px at 256 x 256, over visible triples of the ground truth.

    Arguments as in `position_metrics`. Smaller is better; NaN if no triple is visible.
    """
    triples = truth_visible[:, :-2] & truth_visible[:, 1:-1] & truth_visible[:, 2:]
    difference = np.diff(predicted - truth, n=2, axis=1)[triples]
    return _ratio(np.linalg.norm(difference, axis=-1).sum(), triples.sum())


def mean_metrics(videos: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean of each metric over the videos in which it is defined; NaN if there are none."""
    table = np.array([[video[name] for name in METRICS] for video in videos], np.float64).reshape(-1, len(METRICS))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is NaN, as intended
        means = np.nanmean(table, axis=0)
    return dict(zip(METRICS, means.tolist(), strict=True))


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else float("nan")
