"""Stabilisation: maps from each frame to a reference frame, estimated from tracks, and frames drawn through them.

Convention:
    Pixels are (x, y) of the picture, centres at integers. A map is a (3, 3) matrix for homogeneous pixels, from a
    frame to the reference frame.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_POINTS = 12  # visible in both frames that are compared: three times what a homography needs
LEAST_SHARE = 0.4  # of the visible points: fewer common ones cover too little of the frame to extrapolate from
LEAST_SPREAD = 4.0  # of an object, in thresholds: with a smaller one, errors of its points would swing the frame
RANSAC_STEPS, RANSAC_CONFIDENCE = 2000, 0.999

Map = NDArray[np.float64]
Points = NDArray[np.floating]
Picture = NDArray[np.uint8]


def thing_maps(tracks: Points, visible: NDArray[np.bool_], reference: int, threshold_px: float) -> Map:
    """Estimate maps that hold one object still: shifts, with rotation and zoom if its points spread widely enough.

    Args:
        tracks: (N, T, 2) points of the object.
        visible: (N, T) bool. If fewer than half of the points are visible in both frames, all points count.
        reference: Column of the reference frame.
        threshold_px: How far a point may be from the common motion and still follow it.

    Returns:
        (T, 3, 3).
    """
    maps = np.tile(np.eye(3), (tracks.shape[1], 1, 1))
    for t in range(tracks.shape[1]):
        seen = visible[:, t] & visible[:, reference]
        rows = seen if 2 * seen.sum() >= len(seen) else np.ones_like(seen)
        maps[t] = _similarity(tracks[rows, t], tracks[rows, reference], threshold_px)
    return maps


def camera_maps(
    tracks: Points, visible: NDArray[np.bool_], confidence: NDArray[np.floating], reference: int, threshold_px: float
) -> Map:
    """Estimate maps that hold most of the frame still: homographies, the motion of a rotating and zooming camera.

    A frame is compared with the reference as long as enough points are visible in both. From then on, the frame before
    it (towards the reference) takes the place of the reference in these comparisons.

    Args:
        tracks: (N, T, 2) points all over the frames, with queries in several frames.
        visible: (N, T) bool; only points that are visible in both frames count.
        confidence: (N, T) in [0, 1]: of the points that follow the common motion, the most confident count, because
            points on plain walls slide along with it, a few pixels off.
        reference: Column of the frame that stays unchanged.
        threshold_px: How far a point may be from the common motion and still follow it.

    Returns:
        (T, 3, 3). A frame with too few visible points gets the map of the frame before it.
    """
    maps = np.tile(np.eye(3), (tracks.shape[1], 1, 1))
    for outward in (range(reference + 1, tracks.shape[1]), range(reference - 1, -1, -1)):
        base = before = reference
        for t in outward:
            found = _homography(tracks, visible, confidence, t, base, threshold_px)
            if found is None and base != before:
                base = before
                found = _homography(tracks, visible, confidence, t, base, threshold_px)
            maps[t] = maps[before] if found is None else maps[base] @ found
            before = t
    return maps


def draw_held(picture: Picture, held: Map) -> Picture:
    """Draw a frame through its map; areas outside the frame are black."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpPerspective(picture, held, size, flags=cv2.INTER_CUBIC), np.uint8)


def _similarity(now: Points, then: Points, threshold_px: float) -> Map:
    """Estimate the map from `now` (N, 2) to `then` (N, 2)."""
    spread = np.sqrt(((then - then.mean(0)) ** 2).sum(-1).mean())
    if spread >= LEAST_SPREAD * threshold_px:
        found, _ = cv2.estimateAffinePartial2D(
            _plain(now),
            _plain(then),
            method=cv2.RANSAC,
            ransacReprojThreshold=threshold_px,
            maxIters=RANSAC_STEPS,
            confidence=RANSAC_CONFIDENCE,
        )
        if found is not None:
            return np.vstack([found, (0, 0, 1)])
    held = np.eye(3)
    held[:2, 2] = np.median(then - now, axis=0)
    return held


def _homography(
    tracks: Points,
    visible: NDArray[np.bool_],
    confidence: NDArray[np.floating],
    t: int,
    base: int,
    threshold_px: float,
) -> Map | None:
    """Estimate the map from frame `t` to frame `base`; None if too few points support it."""
    both = visible[:, t] & visible[:, base] & np.isfinite(tracks[:, (t, base)]).all((1, 2))
    if both.sum() < max(LEAST_POINTS, LEAST_SHARE * visible[:, t].sum()):
        return None
    now, then = _plain(tracks[both, t]), _plain(tracks[both, base])
    found, follows = cv2.findHomography(
        now, then, cv2.RANSAC, threshold_px, maxIters=RANSAC_STEPS, confidence=RANSAC_CONFIDENCE
    )
    if found is None or follows.sum() < LEAST_POINTS:
        return None
    common = follows[:, 0] > 0
    sure = _surest(common, np.minimum(confidence[both, t], confidence[both, base]))
    exact, _ = cv2.findHomography(now[sure], then[sure])
    holds = exact is not None and np.median(_distance(exact, now[common], then[common])) < threshold_px
    # the most confident points may lie on one line, which does not determine a map
    return np.asarray(exact if holds else found, np.float64)


def _distance(held: NDArray[Any], now: Points, then: Points) -> NDArray[np.float64]:
    """(N,) distances in pixels between mapped points (N, 2) and their targets."""
    there = np.column_stack([now, np.ones(len(now))]) @ held.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.linalg.norm(there[:, :2] / there[:, 2:] - then, axis=1)


def _surest(there: NDArray[np.bool_], sure: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Select the most confident third of the points and any ties with its last; at least `LEAST_POINTS`."""
    ordered = np.sort(sure[there])[::-1]
    kept = max(len(ordered) // 3, LEAST_POINTS)
    return there & (sure >= ordered[kept - 1]) if kept <= len(ordered) else there


def _plain(points: Points) -> NDArray[np.float64]:
    return np.ascontiguousarray(points, np.float64)
