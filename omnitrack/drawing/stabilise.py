"""Holding still what moves: a map from each frame to a reference, from tracks, and the frame drawn through it.

Convention:
    Pixels are (x, y) of the picture, centres at integers. A map is (3, 3), of homogeneous pixels, from a frame to the
    reference frame.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_POINTS = 12  # in common with the frame that the camera is compared with: three times what a homography needs
LEAST_SHARE = 0.4  # ... and of the points seen now: below, they cover too little of the frame to extrapolate from
LEAST_SPREAD = 4.0  # of a thing, in thresholds: of a smaller one, errors of its points would swing the frame about
RANSAC_STEPS, RANSAC_CONFIDENCE = 2000, 0.999

Map = NDArray[np.float64]
Points = NDArray[np.floating]
Picture = NDArray[np.uint8]


def thing_maps(tracks: Points, visible: NDArray[np.bool_], reference: int, threshold_px: float) -> Map:
    """Maps under which one thing stands still: shifts, and turns and zooms where it is wide enough to tell them.

    Args:
        tracks: (N, T, 2) points of the thing.
        visible: (N, T) bool. Where fewer than half of the points are seen, where they are believed to be counts.
        reference: Column of the frame in which the thing stands.
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
    """Maps under which the larger part of the frame stands still: homographies, which turning and zooming make.

    A frame is compared with the reference as long as enough points are seen in both, and with the frame before it
    (towards the reference) from there on, which is then the one to compare with.

    Args:
        tracks: (N, T, 2) points all over the frames, begun in several of them.
        visible: (N, T) bool; only points that are seen in both frames count.
        confidence: (N, T) in [0, 1]: of those that follow the common motion the surest count, for points on plain walls
            slide along with it, a few pixels off.
        reference: Column of the frame that stays as it is.
        threshold_px: How far a point may be from the common motion and still follow it.

    Returns:
        (T, 3, 3). A frame in which too little is seen is held like the one before it.
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
    """A frame drawn through its map; black where it has nothing to show."""
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.warpPerspective(picture, held, size, flags=cv2.INTER_CUBIC), np.uint8)


def _similarity(now: Points, then: Points, threshold_px: float) -> Map:
    """The map from `now` (N, 2) to `then` (N, 2)."""
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
    """The map from frame `t` to frame `base`; None where too few points say it."""
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
    return np.asarray(exact if holds else found, np.float64)  # those on one line say nothing of the rest


def _distance(held: NDArray[Any], now: Points, then: Points) -> NDArray[np.float64]:
    """(N,) pixels from where a map takes points (N, 2) to where they should be."""
    there = np.column_stack([now, np.ones(len(now))]) @ held.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.linalg.norm(there[:, :2] / there[:, 2:] - then, axis=1)


def _surest(there: NDArray[np.bool_], sure: NDArray[np.floating]) -> NDArray[np.bool_]:
    """The third of these points that is surest, and all that are as sure as its last; `LEAST_POINTS` in any case."""
    ordered = np.sort(sure[there])[::-1]
    kept = max(len(ordered) // 3, LEAST_POINTS)
    return there & (sure >= ordered[kept - 1]) if kept <= len(ordered) else there


def _plain(points: Points) -> NDArray[np.float64]:
    return np.ascontiguousarray(points, np.float64)
