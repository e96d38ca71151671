"""Validation of queries: points, pins and frames must be in the clip, and errors name the one that is not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project

NO_PINS = np.zeros((0, 4), np.float32)


def checked_queries(project: Project, queries: ArrayLike) -> NDArray[np.float32]:
    """Return validated queries (N, 3), rows (t, x, y) in pixels of the original video.

    Raises:
        OmnitrackError: Another shape, no query, or a query that is not finite or is outside the clip.
    """
    rows = np.asarray(queries, np.float32)
    if rows.ndim != 2 or rows.shape[1] != 3 or not len(rows):
        raise OmnitrackError(
            f"queries have shape {rows.shape}, not (N, 3) with N > 0",
            "give rows (t, x, y), for example --point 10,20@0",
        )
    _check_places(project, rows, "query")
    return rows


def checked_pins(project: Project, queries: NDArray[np.float32], pins: ArrayLike | None) -> NDArray[np.float32]:
    """Return validated pins (M, 4), rows (track, t, x, y), sorted by track and frame, without repeated queries or pins.

    Args:
        project: The clip.
        queries: (N, 3), validated.
        pins: Rows (track, t, x, y) in pixels of the original video; None for no pins.

    Raises:
        OmnitrackError: Another shape, a pin that is not finite or is outside the clip, a track that does not exist, or
            two positions of one track in one frame.
    """
    rows = NO_PINS if pins is None else np.asarray(pins, np.float32)
    if rows.size == 0:
        return NO_PINS
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise OmnitrackError(
            f"pins have shape {rows.shape}, not (M, 4)", "give rows (track, t, x, y), for example --pin 0,10,20@5"
        )
    _check_places(project, rows[:, 1:], "pin")
    tracks = rows[:, 0]
    bad = ~np.isfinite(tracks) | (tracks % 1 != 0) | (tracks < 0) | (tracks >= len(queries))
    if bad.any():
        raise OmnitrackError(
            f"pin {int(np.argmax(bad))} is of track {tracks[bad][0]:g}",
            f"the tracks are 0 to {len(queries) - 1}, in the order of the queries",
        )
    own = np.column_stack([np.arange(len(queries)), queries]).astype(np.float32)
    known = np.unique(np.concatenate([own[np.unique(tracks.astype(int))], rows]), axis=0)
    twice = np.flatnonzero((np.diff(known[:, :2], axis=0) == 0).all(1))
    if len(twice):
        (track, t, x, y), (_, _, other_x, other_y) = known[twice[0]], known[twice[0] + 1]
        raise OmnitrackError(
            f"track {track:g} is in two places in frame {t:g}: ({x:g}, {y:g}) and ({other_x:g}, {other_y:g})",
            "a track has one query, and one pin at most in each other frame",
        )
    return known[known[:, 1] != queries[known[:, 0].astype(int), 0]]


def checked_frames(project: Project, frames: range | None) -> NDArray[np.int64]:
    """Return the requested frames; all frames if None.

    Raises:
        OmnitrackError: Frames that the project does not have.
    """
    if frames is None:
        return np.arange(project.num_frames)
    if not set(frames) <= set(range(project.num_frames)):
        raise OmnitrackError(f"{frames} goes beyond the project's frames", f"they are 0 to {project.num_frames - 1}")
    return np.asarray(frames, np.int64)


def _check_places(project: Project, rows: NDArray[np.float32], what: str) -> None:
    """Refuse rows (t, x, y) that are not finite or are outside the clip."""
    bad = ~np.isfinite(rows).all(1)
    if bad.any():
        raise OmnitrackError(
            f"{what} {int(np.argmax(bad))} is not finite: {rows[bad][0].tolist()}", "give numbers t, x and y"
        )
    t, x, y = rows.T
    bad = (t % 1 != 0) | (t < 0) | (t >= project.num_frames)
    if bad.any():
        raise OmnitrackError(
            f"{what} {int(np.argmax(bad))} is in frame {t[bad][0]:g}",
            f"the project's frames are 0 to {project.num_frames - 1}",
        )
    width, height = project.meta.original_size
    bad = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    if bad.any():
        raise OmnitrackError(
            f"{what} {int(np.argmax(bad))} at ({x[bad][0]:g}, {y[bad][0]:g}) is outside the video",
            f"the video is {width}x{height} pixels",
        )
