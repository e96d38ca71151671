"""Other trackers' saved tracks: one file per video, DIR/VIDEO.npz (a / in a name as %2F).

``omnitrack query -o VIDEO.npz`` writes such files. The arrays of CoTracker, TAPIR, TAPNext or Track-On are read under
their own names (`omnitrack.tracks.foreign`), with `size` added. For any tracker, these arrays are enough:

tracks      (N, T, 2) or (T, N, 2), a leading axis of 1 allowed: positions (x, y) in pixels of a frame of `size`,
            centres at integers. If `raster` is present and true, TAP-Vid's raster pixels: (0, 0) is a corner (TAPIR).
visible     (N, T) or (T, N) as `tracks`; true or false, or a probability (visible over 0.5). `visibility` is the same,
            `occluded` its opposite.
size        (2,) width and height of the frame that the positions belong to.
queries     (N, 3) rows (t, x, y) in the units of `tracks`, or `query_points`: TAP-Vid's (t, y, x) in raster pixels of
            `size`. Each query of the dataset is looked up among them, so extra rows do no harm. Without either,
            the rows must be the dataset's queries in TAP-Vid's order (`omnitrack.evaluation.tapvid.sample_queries`).
frames      (T,) optional: must be 0 .. T-1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.tapvid import Queries, file_stem, pixels_to_raster, tapvid_queries_to_pixels
from omnitrack.tracks.array_files import Arrays, Mismatch, read_arrays
from omnitrack.tracks.layouts import KEYS, interpret, numbers, one, recognised, size_of
from omnitrack.units import RASTER_PX

QUERY_TOLERANCE = 0.05  # px at 256 x 256; less than half a pixel of a 1080p video, the usual convention error
_HINT = "what a file of predictions holds: python -m pydoc omnitrack.evaluation.predictions"


def load_prediction(directory: Path, video: str, queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Load the saved tracks for a video's queries.

    Args:
        directory: Contains ``VIDEO.npz``.
        video: The video's name.
        queries: The Q queries over T frames.

    Returns:
        tracks (Q, T, 2), raster fractions of the frame, and visible (Q, T).

    Raises:
        OmnitrackError: No such file, a damaged one, missing arrays, wrong shapes, numbers that are not finite, or a
            query of the dataset that the file does not answer.
    """
    path = file_of(directory, video)
    try:
        return _read(_arrays(path), queries)
    except Mismatch as error:
        raise OmnitrackError(f"{path} {error.args[0]}", _HINT) from None


def file_of(directory: Path, video: str) -> Path:
    """Return the path of the predictions for a video."""
    return directory / f"{file_stem(video)}.npz"


def _arrays(path: Path) -> Arrays:
    if not path.is_file():
        raise OmnitrackError(f"there are no predictions at {path}", f"one file per video, {path.parent}/VIDEO.npz")
    return read_arrays(path, KEYS)


def _read(arrays: Arrays, queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    layout = _layout(arrays)
    asked = _asked(arrays)
    num_frames = queries.points.shape[1]
    if "frames" in arrays and not np.array_equal(arrays["frames"].ravel(), np.arange(num_frames)):
        raise Mismatch(f"does not cover the video's frames 0 to {num_frames - 1}")
    count = len(queries) if asked is None else len(asked)
    reading = interpret(arrays, layout, num_frames, count)
    if not np.isfinite(reading.positions).all():
        raise Mismatch("has tracks that are not finite (NaN); an occluded point has a position too")
    if "size" not in arrays:
        raise Mismatch(f"has no size; it holds {', '.join(arrays)}")
    size = size_of(arrays)
    if asked is None:
        rows = np.arange(count)
    else:
        corner = 0.0 if "query_points" in arrays and "queries" not in arrays else reading.corner
        rows = _match(asked - np.array([0.0, corner, corner]), queries, size)
    return pixels_to_raster(reading.positions[rows], size), reading.visible[rows]


def _layout(arrays: Arrays) -> str:
    """Identify the tracker by its array names; ambiguous names are read as this module's docstring describes."""
    try:
        return recognised(arrays)
    except Mismatch:
        return "omnitrack"


def _asked(arrays: Arrays) -> NDArray[np.float64] | None:
    """(N, 3) queries (t, x, y) of the file in its own pixels, TAP-Vid's with centres at integers; None if missing."""
    key = "queries" if "queries" in arrays else "query_points"
    if key not in arrays:
        return None
    asked = one(numbers(arrays, key), 2)
    if asked.ndim != 2 or asked.shape[1] != 3:
        raise Mismatch(f"has {key} of shape {asked.shape}, not (N, 3)")
    return tapvid_queries_to_pixels(asked) if key == "query_points" else asked


def _match(asked: NDArray[np.float64], queries: Queries, size: tuple[int, int]) -> NDArray[np.intp]:
    """(Q,) row of the file that answers each query of the dataset: same frame, nearest point, within the tolerance."""
    at_query = queries.points[np.arange(len(queries)), queries.frames]
    distance = np.abs(at_query[:, None] - pixels_to_raster(asked[:, 1:], size)).max(-1) * RASTER_PX
    distance[queries.frames[:, None] != asked[:, 0]] = np.inf
    if not len(asked):
        distance = np.full((len(queries), 1), np.inf)
    rows = distance.argmin(axis=1)
    unanswered = np.flatnonzero(distance[np.arange(len(queries)), rows] > QUERY_TOLERANCE)
    if len(unanswered):
        first = unanswered[0]
        _, x, y = queries.pixels(size)[first]
        nearest = distance[first].min()
        near = f"; its nearest is {nearest:.2g} px (at 256x256) off" if np.isfinite(nearest) else ""
        raise Mismatch(
            f"lacks {len(unanswered)} of the dataset's {len(queries)} queries, the first at frame "
            f"{queries.frames[first]}, pixel ({x:.2f}, {y:.2f}){near}"
        )
    return rows
