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
    """Where query points are in every frame; who asks more than once keeps a `omnitrack.stages.tracker.Tracker`.

    Convention:
        Pixels (x, y) of the original video, centres at integers. A query point is exactly where it was put in its own
        frame, and so is a pin. Any frame can be the query's; tracks go both ways from it, to the cuts around it. In
        other shots a point is not visible, see `omnitrack.stages.tracker.Tracker.query`.

    Args:
        project: Has a fitted field; with ``query.fuse`` its flow is used too.
        queries: (N, 3) rows (t, x, y).
        settings: Uses the tables ``query`` and, for the fusion, ``filter``.
        frames: Frames to answer for; all where None.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Hears of it.
        pins: (M, 4) rows (track, t, x, y), see `omnitrack.stages.tracker.Tracker.query`.

    Returns:
        The tracks; one point's answer does not depend on the others.

    Raises:
        OmnitrackError: No fitted field, no flow, or queries, pins or frames outside the clip or not finite.
    """
    checked_pins(project, checked_queries(project, queries), pins)  # before anything is opened
    checked_frames(project, frames)
    cache = min(CACHE_BYTES, cache_bytes(settings.memory.max_gb))
    with Tracker(project, settings, device, progress, cache, fitted=True) as tracker:
        return tracker.query(queries, frames, pins)
