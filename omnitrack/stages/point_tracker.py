"""Follows points of one frame through a fitted project: by its field, its flow, its looks, and all together."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.agreement import fused_confidence, fused_visibility
from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.chained_tracks import ChainedTrack, chain_everywhere
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.flows import FlowSource, FlowsWithin
from omnitrack.correspondence.fusion import fuse_positions
from omnitrack.correspondence.raster import inside
from omnitrack.correspondence.track_appearance import PointAppearance, TrackAppearance
from omnitrack.motion.field import FieldTracks, MotionField
from omnitrack.project.feature_store import FeatureStore
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.settings import Settings


class ClipFeatures(Protocol):
    """Features of a clip's frames; `FeatureStore` has those of a project.

    Attributes:
        threshold: Least similarity at which they are alike.
    """

    threshold: float

    def features(self, frame: int) -> NDArray[np.float32]:
        """(h, w, C) features of a frame, each of unit length or 0."""


@dataclass(frozen=True)
class Tracked:
    """Where P points are in T frames, those of their shot.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, T, 2) working pixels.
        visible: (P, T) bool.
        confidence: (P, T) in [0, 1].
        depth: (P, T) of the field.
    """

    pixels: NDArray[np.float32]
    visible: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    depth: NDArray[np.float32]


@dataclass(frozen=True)
class Estimates:
    """What is known of P points, before they are fused.

    Attributes:
        field: Their tracks in the fitted field.
        chained: Their tracks along the measured flow.
        appearance: Compares places with them.
    """

    field: FieldTracks
    chained: ChainedTrack
    appearance: PointAppearance


class PointTracker:
    """Answers for points of one frame at a time, in all frames of a shot.

    Frames are counted from the first one of the shot.

    Args:
        project: Gives the frames.
        field: Fitted to it.
        flows: Of the project.
        settings: Uses the tables ``query`` and ``filter``.
        features: Of the frames, where points are to be compared by them too.
        shot: The frames to follow points through; None for all.
    """

    def __init__(
        self,
        project: Project,
        field: MotionField,
        flows: FlowSource,
        settings: Settings,
        features: ClipFeatures | None = None,
        shot: range | None = None,
    ) -> None:
        frames = range(project.num_frames) if shot is None else shot
        self._field, self._frames = field, frames
        self._flows = FlowsWithin(flows, frames)
        self._settings = settings
        learned, believed = None, 0.0
        if features is not None:
            maps = features.features
            learned = FrameFeatures(lambda t: maps(frames[t]), project.size)
            believed = settings.filter.feature_threshold or features.threshold
        patches = FramePatches(lambda t: project.frame(frames[t]), project.size)
        self._appearance = TrackAppearance(patches, settings.query.alike_threshold, learned, believed)
        self._threshold_px = settings.filter.cycle_threshold_px

    def track(self, source: int, pixels: NDArray[np.float32]) -> Tracked:
        """Working pixels (P, 2) of frame `source` in all frames of the shot."""
        known = self.estimates(source, pixels)
        field, chained, size = known.field, known.chained, self._flows.size
        confidence = fused_confidence(chained, field.pixels, size)
        if not self._settings.query.fuse:
            return Tracked(field.pixels, field.visible, confidence, field.depth)
        fused = self.fused(source, known)
        return Tracked(fused, self.visible(known, fused), confidence, field.depth)

    def estimates(self, source: int, pixels: NDArray[np.float32]) -> Estimates:
        """What is known of working pixels (P, 2) of frame `source`."""
        appearance = self._appearance.of(source, pixels)
        chained = chain_everywhere(
            self._flows,
            source,
            pixels,
            len(self._frames),
            self._settings.filter.gaps,
            self._threshold_px,
            appearance.patch_similarity,
        )
        field = self._field.track(self._frames[source], pixels, self._frames)
        return Estimates(field, chained, appearance)

    def fused(self, source: int, known: Estimates) -> NDArray[np.float32]:
        """Positions (P, T, 2) that agree with all that is known."""
        measurable = known.field.visible & (known.appearance.likeness(known.field.pixels) > 0)
        gaps = self._settings.filter.gaps
        return fuse_positions(self._flows, source, known.chained, known.field.pixels, measurable, gaps)

    def visible(self, known: Estimates, fused: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Whether points are seen (P, T) at their fused positions (P, T, 2)."""
        field, size = known.field, self._flows.size
        seen = fused_visibility(known.chained, field.pixels, field.visible, known.appearance.likeness(fused), size)
        return seen & inside(fused, size)


def features_of_fit(project: Project, settings: Settings) -> AbstractContextManager[FeatureStore | None]:
    """The features that the correspondences were checked with; None where they were not, or nobody asks for looks."""
    checked = "features" in (filtered_file(project).stamp() or {}).get("inputs", {})
    return FeatureStore(project) if checked and settings.query.fuse else nullcontext()
