"""Estimates of points by field, flow and appearance: from each frame in which the points are known, and combined."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.agreement import fused_confidence, position_weight
from omnitrack.correspondence.anchors import Anchors, Rows, serving_anchors
from omnitrack.correspondence.chained_tracks import ChainedTrack
from omnitrack.correspondence.fusion import Expected, likely_places
from omnitrack.correspondence.track_appearance import PointAppearance
from omnitrack.motion.field import FieldTracks

Bools = NDArray[np.bool_]
Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class FrameEstimates:
    """Estimates for R points that are known in one frame.

    Attributes:
        field: Their tracks in the fitted field.
        chained: Their tracks along the measured flow.
        appearance: Compares positions with the points.
        trusted: (R, T) bool, where the field is trusted.
        measurable: (R, T) bool, where the point is visible in the field and matches its appearance.
    """

    field: FieldTracks
    chained: ChainedTrack
    appearance: PointAppearance
    trusted: Bools
    measurable: Bools


@dataclass(frozen=True)
class Estimates:
    """Estimates for P points, in each frame from the anchor that serves there (`serving_anchors`).

    Attributes:
        field: Their tracks in the fitted field.
        chained: Their tracks along the measured flow.
        expected: Input of the fusion.
        likeness: Similarity of positions (P, T, 2) to the points in appearance: (P, T), above zero if similar.
    """

    field: FieldTracks
    chained: ChainedTrack
    expected: Expected
    likeness: Callable[[Pixels], Pixels]


def join_estimates(
    anchors: Anchors, of_frames: Sequence[tuple[Rows, FrameEstimates]], size: tuple[int, int]
) -> Estimates:
    """Combine the estimates of all anchors into one estimate per point.

    Args:
        anchors: R anchors of P points.
        of_frames: The estimates from each frame with anchors, with the rows of its anchors.
        size: (width, height) of the frames in pixels.
    """

    def by_anchor(of: Callable[[FrameEstimates], NDArray[Any]]) -> NDArray[Any]:
        """Return the (R, T) or (R, T, 2) values of all anchors."""
        order = np.argsort(np.concatenate([rows for rows, _ in of_frames]))
        return np.concatenate([of(one) for _, one in of_frames])[order]

    visible, chain_pixels = by_anchor(lambda one: one.chained.visible), by_anchor(lambda one: one.chained.pixels)
    confidence = by_anchor(lambda one: one.chained.confidence)
    found_again, covered = by_anchor(lambda one: one.chained.found_again), by_anchor(lambda one: one.chained.covered)
    chained = ChainedTrack(chain_pixels, visible, confidence, found_again, covered)
    trusted, field_pixels = by_anchor(lambda one: one.trusted), by_anchor(lambda one: one.field.pixels)
    serving = serving_anchors(
        anchors,
        likely_places(chained, field_pixels, trusted),
        fused_confidence(chained, field_pixels, size),
        size,
    )
    frames = np.arange(serving.shape[1])

    def served(values: NDArray[Any]) -> NDArray[Any]:
        """Return the (P, T) or (P, T, 2) values of the serving anchors."""
        return np.asarray(values[serving, frames])

    def likeness(places: Pixels) -> Pixels:
        return served(by_anchor_rows(places))

    def by_anchor_rows(places: Pixels) -> Pixels:
        found = np.empty((len(anchors.points), len(frames)), np.float32)
        for rows, one in of_frames:
            found[rows] = one.appearance.likeness(places[anchors.points[rows]])
        return found

    best = ChainedTrack(*(served(getattr(chained, field.name)) for field in fields(ChainedTrack)))
    field = FieldTracks(
        served(field_pixels),
        served(by_anchor(lambda one: one.field.depth)),
        served(by_anchor(lambda one: one.field.visible)),
    )
    away = np.abs(frames - anchors.frames[serving])
    expected = Expected.of(
        best,
        field.pixels,
        position_weight(best, field.pixels, away, size),
        _motion(field_pixels, serving),
        served(trusted),
        served(by_anchor(lambda one: one.measurable)),
        anchors.mask(len(frames)),
    )
    return Estimates(field, best, expected, likeness)


def _motion(field_pixels: Pixels, serving: Rows) -> NDArray[np.float64]:
    """Return the field's motion (P, T - 1, 2) from frame to frame, averaged over the serving anchors of both frames."""
    motion = np.diff(field_pixels.astype(np.float64), axis=1)
    steps = np.arange(motion.shape[1])
    return np.asarray((motion[serving[:, :-1], steps] + motion[serving[:, 1:], steps]) / 2)
