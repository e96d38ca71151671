"""Tracks points through a fitted project: by its field, its flow, their appearance, and all of them fused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.agreement import agreement, fused_visibility, trusted_field
from omnitrack.correspondence.anchors import Anchors
from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chained_tracks import chained_track
from omnitrack.correspondence.confidence import Cues, calibrated_confidence
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.flows import FlowSource, FlowsWithin
from omnitrack.correspondence.fusion import fuse_positions
from omnitrack.correspondence.raster import inside
from omnitrack.correspondence.recovery import FollowedGrid, Recovery
from omnitrack.correspondence.track_appearance import TrackAppearance
from omnitrack.memory import looks_bytes
from omnitrack.motion.field import FieldTracks, MotionField
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.point_estimates import Estimates, FrameEstimates, join_estimates


class ClipFeatures(Protocol):
    """Features of a clip's frames; `FeatureStore` provides them for a project.

    Attributes:
        threshold: Smallest similarity of features that count as similar.
    """

    threshold: float

    def features(self, frame: int) -> NDArray[np.float32]:
        """Return the (h, w, C) features of a frame, each of unit length or 0."""


@dataclass(frozen=True)
class Tracked:
    """Positions and visibility of P points in T frames, of the clip or of a shot.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, T, 2) working pixels.
        visible: (P, T) bool.
        confidence: (P, T) in [0, 1].
        depth: (P, T) depth in the field; NaN without a field.
    """

    pixels: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    depth: NDArray[np.float32]


class PointTracker:
    """Tracks points that are known in one frame or in several.

    Args:
        project: Provides the frames.
        field: The fitted field; None to track by the flow alone.
        flows: Flow of the project.
        settings: Uses the tables ``query`` and ``filter``.
        features: Features of the frames, if points are to be compared by features too.
        grid_of: Returns the grid by which lost points of a frame of the clip are found again, or None to leave them
            lost; by default it is followed, which takes about a second per frame with lost points.
    """

    def __init__(
        self,
        project: Project,
        field: MotionField | None,
        flows: FlowSource,
        settings: Settings,
        features: ClipFeatures | None = None,
        grid_of: Callable[[int], FollowedGrid | None] | None = None,
    ) -> None:
        self._field, self._settings = field, settings
        self._grid_of, self._patient = grid_of, grid_of is None
        learned, believed = None, 0.0
        if features is not None:
            learned = FrameFeatures(features.features, project.size)
            believed = settings.filter.feature_threshold or features.threshold
        self._blurred = BlurredFrames(project.frame, project.size, looks_bytes(settings.memory.max_gb))
        patches = FramePatches(self._blurred)
        self._appearance = TrackAppearance(patches, settings.query.alike_threshold, learned, believed)
        self._threshold_px = settings.filter.cycle_threshold_px
        self._turn_to(range(project.num_frames), flows)

    def within(self, shot: range) -> PointTracker:
        """Return a tracker for the frames of a shot, indexed from the first of them; it shares the data read so far."""
        part = copy.copy(self)
        part._turn_to(shot, FlowsWithin(self._flows, shot))
        return part

    def _turn_to(self, frames: range, flows: FlowSource) -> None:
        """Switch to these frames and their flow."""
        self._frames, self._flows = frames, flows
        gaps, blurred = self._settings.filter.gaps, self._blurred.within(frames)
        self._recovery = Recovery(flows, blurred, len(frames), gaps, self._threshold_px)

    def patient(self) -> PointTracker:
        """Return a tracker that follows the grids that `grid_of` does not return; it shares the data read so far."""
        part = copy.copy(self)
        part._patient = True
        return part

    def followed_grid(self, frame: int) -> FollowedGrid:
        """Return the grid by which lost points of a frame are found again; see `Recovery.followed_grid`."""
        return self._recovery.followed_grid(frame)

    def track(self, anchors: Anchors, advance: Callable[[int], None] = lambda points: None) -> Tracked:
        """Track points from their anchors to all frames; `advance` is called with the number of points nearly done."""
        known, size = self.estimates(anchors, advance), self._flows.size
        field, chained = known.field, known.chained
        fuse = self._settings.query.fuse
        if self._field is None:
            pixels = self.fused(known) if fuse else chained.pixels
            return Tracked(pixels, chained.visible & inside(pixels, size), chained.confidence, field.depth)
        pixels = self.fused(known) if fuse else field.pixels
        cues = self.cues(known, pixels)
        return Tracked(pixels, cues.visible, calibrated_confidence(cues), field.depth)

    def estimates(self, anchors: Anchors, advance: Callable[[int], None] = lambda points: None) -> Estimates:
        """Estimate points before fusion; `advance` is called with the number of points whose last anchor is done."""
        of_frames, last = [], anchors.last_frames()
        for frame, rows in anchors.by_frame():
            of_frames.append((rows, self._estimates_of_frame(frame, anchors.pixels[rows])))
            advance(int((last == frame).sum()))
        return join_estimates(anchors, of_frames, self._flows.size)

    def fused(self, known: Estimates) -> NDArray[np.float32]:
        """Return the positions (P, T, 2) that agree best with all estimates."""
        return fuse_positions(self._flows, known.expected, self._settings.filter.gaps)

    def cues(self, known: Estimates, pixels: NDArray[np.float32]) -> Cues:
        """Return the cues for the confidence of positions (P, T, 2), among them whether points are visible there."""
        field, chained, size = known.field, known.chained, self._flows.size
        agreed, likeness, visible = agreement(chained, field.pixels, size), known.likeness(pixels), field.visible
        if self._settings.query.fuse:
            visible = fused_visibility(chained, agreed, visible, pixels, likeness, size) & inside(pixels, size)
        return Cues(chained.confidence, agreed, likeness, self._appearance.texture(pixels, self._frames.start), visible)

    def _grid(self, source: int) -> FollowedGrid | None:
        """Return the grid of frame `source`, if it is there or there is time to follow it."""
        there = None if self._grid_of is None else self._grid_of(self._frames[source])
        return self._recovery.last_grid(source) if there is None and self._patient else there

    def _estimates_of_frame(self, source: int, pixels: NDArray[np.float32]) -> FrameEstimates:
        """Return the estimates for pixels (P, 2) of frame `source`."""
        frames = self._frames
        appearance = self._appearance.of(source, pixels, frames.start)
        states = self._recovery.follow(source, pixels, appearance.patch_similarity, self._grid)
        chained = chained_track(states, self._threshold_px)
        if self._field is None:
            nowhere = np.zeros(chained.visible.shape, bool)
            unknown = FieldTracks(chained.pixels, np.full(nowhere.shape, np.nan, np.float32), nowhere)
            return FrameEstimates(unknown, chained, appearance, trusted=nowhere, measurable=nowhere)
        field = self._field.track(frames[source], pixels, frames)
        away = np.abs(np.arange(len(frames)) - source)
        return FrameEstimates(
            field,
            chained,
            appearance,
            trusted=trusted_field(chained, field.pixels, away, self._flows.size),
            measurable=field.visible & (appearance.likeness(field.pixels) > 0),
        )


def features_of_fit(project: Project, settings: Settings) -> AbstractContextManager[FeatureStore | None]:
    """Open the features that the correspondences were checked with; None if they were not or ``query.fuse`` is off."""
    checked = "features" in (filtered_file(project).stamp() or {}).get("inputs", {})
    looks = looks_bytes(settings.memory.max_gb)
    return FeatureStore(project, looks) if checked and settings.query.fuse else nullcontext()
