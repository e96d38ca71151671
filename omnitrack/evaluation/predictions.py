"""Other trackers' saved tracks: one file per video, DIR/VIDEO.npz (a / in a name as %2F).

What ``omnitrack query -o VIDEO.npz`` writes is such a file. From any other tracker, these arrays are enough:

tracks      (N, T, 2) or (T, N, 2), a leading 1 allowed: positions (x, y) in pixels of a frame of `size`, centres at
            integers. Where `raster` is there and true, TAP-Vid's raster pixels instead: (0, 0) is a corner (TAPIR).
visible     (N, T) or (T, N) as `tracks`; true or false, or a probability (visible over 0.5). `visibility` is the same,
            `occluded` its opposite.
size        (2,) width and height of the frame that the positions belong to.
queries     (N, 3) rows (t, x, y) in the units of `tracks`, or `query_points`: TAP-Vid's (t, y, x) in raster pixels of
            `size`. Each query of the dataset is looked up among them, so surplus rows do no harm. Without either,
            the rows must be the dataset's queries in TAP-Vid's order (`omnitrack.evaluation.tapvid.sample_queries`).
frames      (T,) optional: must be 0 .. T-1.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import RASTER
from omnitrack.evaluation.tapvid import Queries, file_stem, pixels_to_raster, tapvid_queries_to_pixels

QUERY_TOLERANCE = 0.05  # px at 256 x 256; half a pixel of a 1080p video, the usual convention error, is more
_HINT = "what a file of predictions holds: python -m pydoc omnitrack.evaluation.predictions"


def load_prediction(directory: Path, video: str, queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The saved answer to a video's queries.

    Args:
        directory: Holds ``VIDEO.npz``.
        video: The video's name.
        queries: The Q queries over T frames that are asked.

    Returns:
        tracks (Q, T, 2), raster fractions of the frame, and visible (Q, T).

    Raises:
        OmnitrackError: No such file, a damaged one, missing arrays, wrong shapes, numbers that are not finite, or a
            query of the dataset that the file does not answer.
    """
    path = file_of(directory, video)
    try:
        return _read(_arrays(path), queries)
    except _Mismatch as error:
        raise OmnitrackError(f"{path} {error}", _HINT) from None


def file_of(directory: Path, video: str) -> Path:
    """Where the predictions for a video are looked for."""
    return directory / f"{file_stem(video)}.npz"


class _Mismatch(Exception):
    """What is wrong with a file; the caller says with which."""


def _arrays(path: Path) -> dict[str, NDArray]:
    if not path.is_file():
        raise OmnitrackError(f"there are no predictions at {path}", f"one file per video, {path.parent}/VIDEO.npz")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files if key in _KNOWN}
    except (OSError, EOFError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise _Mismatch(f"is not a readable .npz: {error}") from None


_KNOWN = ("tracks", "visible", "visibility", "occluded", "size", "queries", "query_points", "raster", "frames")


def _read(arrays: dict[str, NDArray], queries: Queries) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    for key in ("tracks", "size"):
        if key not in arrays:
            raise _Mismatch(f"has no {key}; it holds {', '.join(arrays) or 'nothing known'}")
    size = _size(arrays["size"])
    corner = np.full(2, 0.5 if np.any(arrays.get("raster", False)) else 0.0)
    asked = _asked(arrays, corner)
    num_frames = queries.points.shape[1]
    if "frames" in arrays and not np.array_equal(arrays["frames"].ravel(), np.arange(num_frames)):
        raise _Mismatch(f"does not cover the video's frames 0 to {num_frames - 1}")
    tracks, visible = _one(_numbers(arrays, "tracks"), 3), _one(_visible(arrays), 2)
    count = len(queries) if asked is None else len(asked)
    if tracks.shape == (num_frames, count, 2) != (count, num_frames, 2):
        tracks, visible = tracks.transpose(1, 0, 2), visible.T
    if tracks.shape != (count, num_frames, 2) or visible.shape != (count, num_frames):
        raise _Mismatch(
            f"has tracks of shape {tracks.shape} and visibility of shape {visible.shape}; "
            f"{count} queries over {num_frames} frames need {(count, num_frames, 2)} and {(count, num_frames)}"
        )
    rows = np.arange(count) if asked is None else _match(asked, queries, size)
    return pixels_to_raster(tracks[rows] - corner, size), visible[rows]


def _one(array: NDArray, dimensions: int) -> NDArray:
    """The array without a leading batch of one."""
    return array[0] if array.ndim == dimensions + 1 and len(array) == 1 else array


def _numbers(arrays: dict[str, NDArray], key: str) -> NDArray[np.float64]:
    """An array of finite numbers."""
    array = arrays[key]
    if array.dtype.kind not in "biuf":
        raise _Mismatch(f"has {key} of type {array.dtype}")
    if not np.isfinite(array).all():
        raise _Mismatch(f"has {key} that are not finite (NaN); an occluded point has a position too")
    return array.astype(np.float64)


def _visible(arrays: dict[str, NDArray]) -> NDArray[np.bool_]:
    found = [key for key in ("visible", "visibility", "occluded") if key in arrays]
    if not found:
        raise _Mismatch("has neither visible, visibility nor occluded")
    share = _numbers(arrays, found[0])
    if share.size and (share.min() < 0 or share.max() > 1):
        raise _Mismatch(f"has {found[0]} outside [0, 1]")
    return share <= 0.5 if found[0] == "occluded" else share > 0.5


def _size(array: NDArray) -> tuple[int, int]:
    if array.shape != (2,) or array.dtype.kind not in "iuf" or not (array > 0).all():
        raise _Mismatch(f"has a size that is not (width, height): {array.tolist()}")
    return int(array[0]), int(array[1])


def _asked(arrays: dict[str, NDArray], corner: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """(N, 3) queries (t, x, y) of the file in pixels, centres at integers; None where it has none."""
    key = "queries" if "queries" in arrays else "query_points"
    if key not in arrays:
        return None
    asked = _one(_numbers(arrays, key), 2)
    if asked.ndim != 2 or asked.shape[1] != 3:
        raise _Mismatch(f"has {key} of shape {asked.shape}, not (N, 3)")
    return tapvid_queries_to_pixels(asked) if key == "query_points" else asked - np.array([0.0, *corner])


def _match(asked: NDArray[np.float64], queries: Queries, size: tuple[int, int]) -> NDArray[np.intp]:
    """(Q,) row of the file that answers each query of the dataset: same frame, nearest point, within the tolerance."""
    at_query = queries.points[np.arange(len(queries)), queries.frames]
    distance = np.abs(at_query[:, None] - pixels_to_raster(asked[:, 1:], size)).max(-1) * RASTER
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
        raise _Mismatch(
            f"lacks {len(unanswered)} of the dataset's {len(queries)} queries, the first at frame "
            f"{queries.frames[first]}, pixel ({x:.2f}, {y:.2f}){near}"
        )
    return rows
