"""TAP-Vid datasets: videos with the true tracks of some points, and the queries for a tracker.

The only module that converts TAP-Vid's coordinates. Its raster has (0, 0) at the corner of the first pixel and, in the
files, (1, 1) at the far corner of the last; our pixels have their centres at integers: ``raster * size = pixel + 0.5``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.plain_pickle import load_plain_pickle
from omnitrack.image_header import image_size
from omnitrack.limits import EXPANSION, check_content

QUERY_MODES = ("strided", "first")
QUERY_STRIDE = 5  # frames between the query frames of `strided` (TAP-Vid, section 4)
_KEYS = ("video", "points", "occluded")
JPEG_EXPANSION = 100  # decoded bytes per stored byte, for the plainest video of photographs
_FARTHEST = 2.0  # a visible raster point beyond this is not a fraction of the frame


@dataclass(frozen=True)
class TapvidVideo:
    """One video of a dataset with its ground truth.

    Attributes:
        name: Its key in the dataset; ``video_000``, ``video_001``, ... in datasets without names.
        frames: (T, H, W, 3) uint8 RGB.
        points: (N, T, 2) float32 raster positions (x, y), fractions of the frame.
        occluded: (N, T) bool; positions of occluded points are never scored.
    """

    name: str
    frames: NDArray[np.uint8]
    points: NDArray[np.float32]
    occluded: NDArray[np.bool_]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]


@dataclass(frozen=True)
class Queries:
    """The Q queries of one video, in TAP-Vid's order, each with its true track.

    Attributes:
        frames: (Q,) int64 query frame of each.
        points: (Q, T, 2) float64 true raster positions, fractions of the frame.
        occluded: (Q, T) bool.
    """

    frames: NDArray[np.int64]
    points: NDArray[np.float64]
    occluded: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.frames)

    def pixels(self, size: tuple[int, int]) -> NDArray[np.float64]:
        """(Q, 3) rows (t, x, y) in pixels of a frame of `size` (width, height), centres at integers.

        An annotation slightly outside the frame is moved to the frame's border.
        """
        at_query = self.points[np.arange(len(self)), self.frames]
        inside = np.clip(raster_to_pixels(at_query, size), -0.5, np.array(size) - 0.5)
        return np.column_stack([self.frames, inside])


def raster_to_pixels(raster: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """Convert raster positions (..., 2), fractions of the frame, to pixels with centres at integers."""
    return np.asarray(raster, np.float64) * np.array(size, np.float64) - 0.5


def pixels_to_raster(pixels: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float64]:
    """Convert pixels (..., 2) with centres at integers to raster positions, fractions of the frame."""
    return (np.asarray(pixels, np.float64) + 0.5) / np.array(size, np.float64)


def tapvid_queries_to_pixels(query_points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert TAP-Vid's query rows (t, y, x), raster pixels, to our (t, x, y), pixels with centres at integers."""
    return np.asarray(query_points, np.float64)[..., [0, 2, 1]] - np.array([0.0, 0.5, 0.5])


def sample_queries(points: NDArray[np.floating], occluded: NDArray[np.bool_], mode: str) -> Queries:
    """Return TAP-Vid's queries of one video.

    Args:
        points: (N, T, 2) raster positions.
        occluded: (N, T).
        mode: ``strided``: every visible point of every fifth frame, by frame, then by track. ``first``: the first
            visible frame of every track that has one, by track.
    """
    visible = ~np.asarray(occluded, bool)
    if mode == "strided":
        steps, tracks = np.nonzero(visible[:, ::QUERY_STRIDE].T)
        frames = steps * QUERY_STRIDE
    elif mode == "first":
        tracks = np.flatnonzero(visible.any(axis=1))
        frames = visible[tracks].argmax(axis=1)
    else:
        raise OmnitrackError(f"there is no query mode {mode!r}", f"known: {', '.join(QUERY_MODES)}")
    return Queries(frames.astype(np.int64), np.asarray(points, np.float64)[tracks], ~visible[tracks])


def file_stem(name: str) -> str:
    """Convert a video's name to a unique name of a file or directory: ``a/b`` becomes ``a%2Fb``."""
    return quote(name, safe=" ")


def load_tapvid(path: str | Path, names: Sequence[str] | None = None) -> Iterator[TapvidVideo]:
    """Read the videos of a TAP-Vid dataset one after another; one at a time is decoded.

    Layouts: a pickle of ``{name: {"video", "points", "occluded"}}`` (DAVIS) or of a list of such entries
    (RGB-stacking), a directory or glob of such pickles (the shards of Kinetics, in order of their names). ``video`` is
    a uint8 array (T, H, W, 3) or a list of JPEG or PNG bytes.

    Args:
        path: A pickle, a directory of ``*.pkl``, or a glob.
        names: The videos to read, always in the dataset's order; None for all.

    Raises:
        OmnitrackError: No dataset, a damaged or foreign file, a malformed video, or an unknown name. An unknown name is
            refused before the first video of a dataset's only file, or of its last shard.
    """
    shards = _shards(Path(path))
    seen: list[str] = []
    for shard in shards:
        entries = _entries(load_plain_pickle(shard), shard, first=len(seen))
        repeated = sorted(set(seen) & set(entries))
        if repeated:
            raise OmnitrackError(f"{shard} repeats the video {repeated[0]} of another file", "remove one of the two")
        seen += entries
        if shard == shards[-1]:
            _refuse_unknown(names or (), seen, path)
        for name in list(entries):
            entry = entries.pop(name)  # release each before the next: a dataset may barely fit into memory
            if names is None or name in names:
                yield _read_video(name, entry, shard)
    if not seen:
        raise OmnitrackError(f"{path} holds no videos", "a TAP-Vid pickle holds a dict or a list of videos")


def _shards(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(path.glob("*.pkl"))
    elif path.is_file():
        found = [path]
    else:
        found = sorted(path.parent.glob(path.name)) if any(c in path.name for c in "*?[") else []
    if not found:
        where = f"{path} has no *.pkl in it" if path.is_dir() else f"there is no dataset at {path}"
        raise OmnitrackError(where, "name a TAP-Vid pickle, a directory of them, or a quoted glob such as 'data/*.pkl'")
    return found


def _entries(loaded: Any, shard: Path, first: int) -> dict[str, Any]:
    if isinstance(loaded, dict):
        entries = {str(name): entry for name, entry in loaded.items()}
        for name in {"", ".", ".."} & set(entries):
            raise OmnitrackError(f"{shard} names a video {name!r}, which cannot name a file", "rename it")
        return entries
    if isinstance(loaded, list):
        return {f"video_{first + index:03d}": entry for index, entry in enumerate(loaded)}
    raise OmnitrackError(
        f"{shard} is not a TAP-Vid dataset: it holds a {type(loaded).__name__}", "it must hold a dict or list of videos"
    )


def _refuse_unknown(names: Sequence[str], known: list[str], path: str | Path) -> None:
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known[:20])}"
            raise OmnitrackError(f"{path} has no video {name}", hint)


def _read_video(name: str, entry: Any, shard: Path) -> TapvidVideo:
    try:
        if not isinstance(entry, dict):
            raise _Malformed(f"is a {type(entry).__name__}, not a dict with {', '.join(_KEYS)}")
        missing = [key for key in _KEYS if key not in entry]
        if missing:
            raise _Malformed(f"has no {missing[0]!r}; its keys are {', '.join(map(str, entry)) or 'none'}")
        points, occluded = _truth(entry["points"], entry["occluded"])
        frames = _frames(entry["video"], f"video {name} of {shard}")
        if len(frames) != points.shape[1]:
            raise _Malformed(f"has {len(frames)} frames but tracks of {points.shape[1]}")
        return TapvidVideo(name, frames, points, occluded)
    except _Malformed as error:
        raise OmnitrackError(
            f"video {name} of {shard} {error}",
            "TAP-Vid: video (T, H, W, 3) uint8 or JPEG bytes, points (N, T, 2) in [0, 1], occluded (N, T)",
        ) from None


class _Malformed(Exception):
    """Describes what is wrong with a video; the caller adds its name."""


def _truth(points: Any, occluded: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    try:
        points, occluded = np.asarray(points, np.float32), np.asarray(occluded)
    except (TypeError, ValueError) as error:
        raise _Malformed(f"has tracks that are not arrays of numbers: {error}") from None
    if points.ndim != 3 or points.shape[2] != 2:
        raise _Malformed(f"has points of shape {points.shape}")
    if occluded.shape != points.shape[:2]:
        raise _Malformed(f"has points of shape {points.shape} but occluded of shape {occluded.shape}")
    if occluded.dtype.kind not in "biuf" or not np.isin(occluded, (0, 1)).all():
        raise _Malformed("has values other than true and false in occluded")
    occluded = occluded.astype(bool)
    seen = points[~occluded]
    if not np.isfinite(seen).all():
        raise _Malformed("has visible points that are not finite (NaN)")
    if seen.size and np.abs(seen).max() > _FARTHEST:
        raise _Malformed(f"has a visible point at {np.abs(seen).max():g}; points are fractions of the frame")
    return points, occluded


def _frames(video: Any, where: str) -> NDArray[np.uint8]:
    if isinstance(video, list):
        _refuse_large(video, where)
        video = [_decode(frame, index) for index, frame in enumerate(video)]
        shapes = {frame.shape for frame in video}
        if len(shapes) > 1:
            raise _Malformed(f"mixes frames of {' and '.join(sorted(map(str, shapes)))}")
        video = np.stack(video) if video else np.empty(0, np.uint8)
    if not isinstance(video, np.ndarray) or video.ndim != 4 or video.shape[3] != 3 or video.dtype != np.uint8:
        what = f"{video.dtype} {video.shape}" if isinstance(video, np.ndarray) else type(video).__name__
        raise _Malformed(f"has frames that are not (T, H, W, 3) uint8 but {what}")
    if len(video) < 2 or 0 in video.shape:
        raise _Malformed(f"has {len(video)} frames of {video.shape[2]}x{video.shape[1]}; two or more are needed")
    return video


def _refuse_large(video: list[Any], where: str) -> None:
    """Refuse frames that are too large decoded; a few bytes may decode to gigabytes, and may be referenced often."""
    stored, needed = sum({id(frame): len(frame) for frame in video if isinstance(frame, (bytes, str))}.values()), 0
    for index, frame in enumerate(video):
        if isinstance(frame, (bytes, str)):
            data = frame.encode("latin1") if isinstance(frame, str) else frame
            width, height = image_size(data) or (0, 0)
            if not width or not height:
                raise _Malformed(f"has a frame {index} that is not a JPEG or PNG image")
            needed += 3 * width * height
    check_content(f"{where}, {len(video)} frames,", needed, stored * JPEG_EXPANSION // EXPANSION)


def _decode(frame: Any, index: int) -> NDArray[np.uint8]:
    """One frame as (H, W, 3) RGB from an array or from the bytes of an image file."""
    if isinstance(frame, np.ndarray):
        return frame
    import cv2

    data = frame.encode("latin1") if isinstance(frame, str) else frame
    if not isinstance(data, bytes):
        raise _Malformed(f"has a frame {index} that is a {type(frame).__name__}")
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise _Malformed(f"has a frame {index} that is not a JPEG or PNG image")
    return np.ascontiguousarray(image[..., ::-1])
