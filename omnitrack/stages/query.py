"""Tracks of query points: the fitted field, fused with the measured flow around each track."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnitrack.memory import cache_bytes
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.project.store import CACHE_BYTES
from omnitrack.settings import Settings
from omnitrack.stages.query_checks import checked_frames, checked_pins, checked_queries
from omnitrack.stages.tracker import Tracker
from omnitrack.tracks.tracks import Tracks


def query_tracks(
    project: Project,
    queries: NDArray[np.floating],
    settings: Settings,
    frames: range | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
    pins: ArrayLike | None = None,
) -> Tracks:
    """Track query points through all frames; for repeated queries keep a `omnitrack.stages.tracker.Tracker`.

    Convention:
        Pixels (x, y) of the original video, centres at integers. A track passes exactly through its query point and
        its pins. The query can be in any frame; the track goes both ways from it, to the cuts around it. In other
        shots a point is not visible, see `omnitrack.stages.tracker.Tracker.query`.

    Args:
        project: Has a fitted field; with ``query.fuse`` its flow is used too.
        queries: (N, 3) rows (t, x, y).
        settings: Uses the tables ``query`` and, for the fusion, ``filter``.
        frames: Frames to return; None for all.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Receives progress updates and messages.
        pins: (M, 4) rows (track, t, x, y), see `omnitrack.stages.tracker.Tracker.query`.

    Returns:
        The tracks; the track of a point does not depend on the other points.

    Raises:
        OmnitrackError: No fitted field, no flow, or queries, pins or frames outside the clip or not finite.
    """
    checked_pins(project, checked_queries(project, queries), pins)  # before anything is opened
    checked_frames(project, frames)
    cache = min(CACHE_BYTES, cache_bytes(settings.memory.max_gb))
    with Tracker(project, settings, device, progress, cache, fitted=True) as tracker:
        return tracker.query(queries, frames, pins)
