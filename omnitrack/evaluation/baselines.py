"""Trackers that use the same flow but no fit: the baselines that a fitted field has to beat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chained_tracks import chain_everywhere, chained_track
from omnitrack.correspondence.chaining import CAUTIOUS, HopPrices, outward
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array
from omnitrack.correspondence.recovery import Recovery
from omnitrack.progress import SILENT, Progress
from omnitrack.units import raster_scale

DIRECT_THRESHOLD_PX = 3.0
CHAIN_THRESHOLD_PX = 1.5
MULTIGAP_THRESHOLD_PX = 2.0
MULTIGAP_GAPS = (1, 2, 4, 8, 16)
UNJUDGED = HopPrices(hop=0.05, doubt=0.0, inconsistent=20.0, hidden=50.0, most_wrong=1.0)  # by cycle error alone

Frames = Callable[[int], NDArray[np.uint8]]  # returns frame t as (H, W, 3) uint8 RGB


class Baseline(Protocol):
    """Tracks queries by flow alone; arguments and result as in `track_direct`."""

    def __call__(
        self,
        flows: FlowSource,
        queries: NDArray[np.floating],
        num_frames: int,
        progress: Progress = SILENT,
        frame: Frames | None = None,
    ) -> tuple[Array, NDArray[np.bool_]]: ...


def track_direct(
    flows: FlowSource,
    queries: NDArray[np.floating],
    num_frames: int,
    progress: Progress = SILENT,
    frame: Frames | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Track by direct flow from the query frame to each frame; occluded if the cycle error is over 3 px at 256 x 256.

    Args:
        flows: Contains every pair with a query frame, in both directions.
        queries: (N, 3) rows (t, x, y), pixels.
        num_frames: T.
        progress: Receives an update per query frame.
        frame: Returns frame t as (H, W, 3) uint8 RGB, for baselines that use images.

    Returns:
        tracks (N, T, 2) in pixels and visible (N, T).
    """
    threshold = DIRECT_THRESHOLD_PX * raster_scale(flows.size)
    tracks, visible = _at_query(queries, num_frames)
    for source, rows in _by_frame(queries, progress):
        for targets in outward(source, range(num_frames)):
            for target in targets:
                hop = take_hop(flows, source, target, tracks[rows, source])
                tracks[rows, target] = hop.pixels
                visible[rows, target] = (hop.cycle_error < threshold) & hop.inside
    return tracks, visible


def track_chain(
    flows: FlowSource,
    queries: NDArray[np.floating],
    num_frames: int,
    progress: Progress = SILENT,
    frame: Frames | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Track by composing adjacent flows; occluded for good after a cycle error over 1.5 px at 256 x 256.

    Arguments and result as in `track_direct`; `flows` contains the adjacent pairs.
    """
    return _track_chained(flows, queries, num_frames, progress, (1,), CHAIN_THRESHOLD_PX, UNJUDGED)


def track_multigap(
    flows: FlowSource,
    queries: NDArray[np.floating],
    num_frames: int,
    progress: Progress = SILENT,
    frame: Frames | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Track by the best chains over gaps of 1, 2, 4, 8 and 16 frames (`omnitrack.correspondence.chaining`).

    If `frame` is given, lost points are found again (`omnitrack.correspondence.recovery`).

    Arguments and result as in `track_direct`; `flows` contains the pairs at those gaps in both directions, with their
    doubt: the same input as for a fit.
    """
    if frame is None:
        return _track_chained(flows, queries, num_frames, progress, MULTIGAP_GAPS, MULTIGAP_THRESHOLD_PX, CAUTIOUS)
    frames = BlurredFrames(frame, flows.size)
    recovery = Recovery(flows, frames, num_frames, MULTIGAP_GAPS, MULTIGAP_THRESHOLD_PX, CAUTIOUS)
    tracks, visible = _at_query(queries, num_frames)
    for source, rows in _by_frame(queries, progress):
        chained = chained_track(recovery.follow(source, tracks[rows, source]), MULTIGAP_THRESHOLD_PX)
        tracks[rows], visible[rows] = chained.pixels, chained.visible
    return tracks, visible


def track_multigap_plain(
    flows: FlowSource,
    queries: NDArray[np.floating],
    num_frames: int,
    progress: Progress = SILENT,
    frame: Frames | None = None,
) -> tuple[Array, NDArray[np.bool_]]:
    """Like `track_multigap`, but hops are trusted by their cycle error alone, and lost points are not found again."""
    return _track_chained(flows, queries, num_frames, progress, MULTIGAP_GAPS, MULTIGAP_THRESHOLD_PX, UNJUDGED)


BASELINES: dict[str, Baseline] = {
    "direct": track_direct,
    "chain": track_chain,
    "multigap-plain": track_multigap_plain,
    "multigap": track_multigap,
}


def _track_chained(
    flows: FlowSource,
    queries: NDArray[np.floating],
    num_frames: int,
    progress: Progress,
    gaps: tuple[int, ...],
    threshold_px: float,
    prices: HopPrices,
) -> tuple[Array, NDArray[np.bool_]]:
    tracks, visible = _at_query(queries, num_frames)
    for source, rows in _by_frame(queries, progress):
        chained = chain_everywhere(flows, source, tracks[rows, source], num_frames, gaps, threshold_px, prices=prices)
        tracks[rows], visible[rows] = chained.pixels, chained.visible
    return tracks, visible


def _at_query(queries: NDArray[np.floating], num_frames: int) -> tuple[Array, NDArray[np.bool_]]:
    """Return tracks (N, T, 2) that stand still at their queries, visible everywhere."""
    start = np.asarray(queries, np.float32)[:, None, 1:]
    return np.repeat(start, num_frames, axis=1), np.ones((len(queries), num_frames), bool)


def _by_frame(queries: NDArray[np.floating], progress: Progress) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield (query frame, rows of `queries` in that frame), and report progress after each."""
    times = np.asarray(queries)[:, 0].astype(int)
    frames = np.unique(times)
    with progress.task("baseline", len(frames), unit="frames") as task:
        for t in frames:
            yield int(t), np.flatnonzero(times == t)
            task.advance()
