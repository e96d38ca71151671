"""Tracks of query points: the fitted field, fused with the measured flow around each track."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.device import cpu_threads
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Progress
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.filtered import filtered_file
from omnitrack.project.project import Project
from omnitrack.project.stamps import make_stamp
from omnitrack.project.store import CACHE_BYTES, FlowStore
from omnitrack.settings import QuerySettings, Settings
from omnitrack.stages.fit import load_field
from omnitrack.stages.point_tracker import PointTracker, Tracked, features_of_fit
from omnitrack.tracks.tracks import Tracks

CHUNK_POINTS = 16384  # worked on at once ...
CHUNK_ENTRIES = 100 * CHUNK_POINTS  # ... and, in clips of more than 100 frames, points times frames: 100 bytes each


def query_stamp(fit_stamp: dict[str, Any], settings: QuerySettings) -> dict[str, Any]:
    """What tracks are made from: the fit, and the settings of the query."""
    return make_stamp({"fit": fingerprint(fit_stamp)}, settings)


def query_tracks(
    project: Project,
    queries: NDArray[np.floating],
    settings: Settings,
    frames: range | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Tracks:
    """Where query points are in every frame, whether they are seen there, and how sure that is.

    Convention:
        Pixels (x, y) of the original video, centres at integers. A query point is exactly where it was put in its own
        frame. Any frame can be the query's; tracks go both ways from it, to the cuts around it. In the frames of other
        shots a point is not visible, its confidence is 0, and it is held where it was in the nearest frame of its own.

    Args:
        project: Has a fitted field; with ``query.fuse`` its flow is used too.
        queries: (N, 3) rows (t, x, y).
        settings: Uses the tables ``query`` and, for the fusion, ``filter``.
        frames: Frames to answer for; all where None.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        progress: Hears of it.

    Returns:
        The tracks; one point's answer does not depend on the others.

    Raises:
        OmnitrackError: No fitted field, no flow, or queries or frames outside the clip or not finite.
    """
    queries = _checked(project, np.asarray(queries, np.float32))
    if frames is not None and not set(frames) <= set(range(project.num_frames)):
        raise OmnitrackError(f"{frames} goes beyond the project's frames", f"they are 0 to {project.num_frames - 1}")
    with cpu_threads(settings.fit.threads):
        return _query(project, queries, settings, frames, device, progress)


def _query(
    project: Project,
    queries: NDArray[np.float32],
    settings: Settings,
    frames: range | None,
    device: str,
    progress: Progress,
) -> Tracks:
    checkpoint = load_checkpoint(project)
    field = load_field(project, device, checkpoint)
    answer = _Answer(len(queries), project.num_frames)
    most = max(1, min(CHUNK_POINTS, CHUNK_ENTRIES // project.num_frames))
    chunks = [
        (int(t), rows[i : i + most])
        for t in np.unique(queries[:, 0])
        for rows in [np.flatnonzero(queries[:, 0] == t)]
        for i in range(0, len(rows), most)
    ]
    cache = min(CACHE_BYTES, settings.filter.cache_mb * 2**20)
    with (
        FlowStore(project, cache) as flows,
        features_of_fit(project, settings) as features,
        progress.task("query", len(queries), unit="points") as task,
    ):
        if checkpoint.stamp["inputs"]["filter"] != fingerprint(filtered_file(project).stamp() or {}):
            progress.warn(f"the fit is older than what it was fitted to: renew it with omnitrack fit {project.root}")
        if flows.hops_stamp is None:
            progress.warn(f"nobody has judged the hops of the flow: renew that with omnitrack filter {project.root}")
        trackers = {shot: PointTracker(project, field, flows, settings, features, shot) for shot in project.shots}
        for source, rows in chunks:
            shot = project.shot(source)
            pixels = project.to_working(queries[rows, 1:]).astype(np.float32)
            answer.put(rows, shot, trackers[shot].track(source - shot.start, pixels))
            task.advance(len(rows))
    kept = np.arange(project.num_frames) if frames is None else np.asarray(frames, np.int64)
    tracks = project.to_original(answer.pixels).astype(np.float32)
    own = np.arange(len(queries)), queries[:, 0].astype(int)
    tracks[own] = queries[:, 1:]
    answer.visible[own] = True
    answer.confidence[own] = 1
    return Tracks(
        queries=queries,
        tracks=tracks[:, kept],
        visible=answer.visible[:, kept],
        confidence=answer.confidence[:, kept],
        depth=answer.depth[:, kept],
        frames=kept,
        size=project.meta.original_size,
        fps=project.meta.fps,
        meta={
            "source": project.meta.source,
            "frames": project.meta.fingerprint,
            "stamp": query_stamp(checkpoint.stamp, settings.query),
        },
    )


class _Answer:
    """Room for the answer, filled chunk by chunk."""

    def __init__(self, count: int, num_frames: int) -> None:
        self.pixels = np.zeros((count, num_frames, 2), np.float32)
        self.visible = np.zeros((count, num_frames), bool)
        self.confidence = np.zeros((count, num_frames), np.float32)
        self.depth = np.zeros((count, num_frames), np.float32)

    def put(self, rows: NDArray[np.int64], shot: range, found: Tracked) -> None:
        held = np.arange(self.pixels.shape[1]).clip(shot.start, shot.stop - 1) - shot.start
        self.pixels[rows], self.depth[rows] = found.pixels[:, held], found.depth[:, held]
        inside = slice(shot.start, shot.stop)
        self.visible[rows, inside], self.confidence[rows, inside] = found.visible, found.confidence


def _checked(project: Project, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    if queries.ndim != 2 or queries.shape[1] != 3 or not len(queries):
        raise OmnitrackError(
            f"queries have shape {queries.shape}, not (N, 3) with N > 0",
            "give rows (t, x, y), for example --point 10,20@0",
        )
    bad = ~np.isfinite(queries).all(1)
    if bad.any():
        raise OmnitrackError(
            f"query {int(np.argmax(bad))} is not finite: {queries[bad][0].tolist()}", "give numbers t, x and y"
        )
    bad = (queries[:, 0] % 1 != 0) | (queries[:, 0] < 0) | (queries[:, 0] >= project.num_frames)
    if bad.any():
        raise OmnitrackError(
            f"query {int(np.argmax(bad))} is in frame {queries[bad][0, 0]:g}",
            f"the project's frames are 0 to {project.num_frames - 1}",
        )
    width, height = project.meta.original_size
    x, y = queries[:, 1], queries[:, 2]
    bad = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    if bad.any():
        raise OmnitrackError(
            f"query {int(np.argmax(bad))} at ({x[bad][0]:g}, {y[bad][0]:g}) is outside the video",
            f"the video is {width}x{height} pixels",
        )
    return queries
