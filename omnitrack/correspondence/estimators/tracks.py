"""Flow between any two frames from tracks of CoTracker, TAPIR, Track-On or omnitrack itself.

A tracker processes many frames at once and follows a point through an occlusion, which flow between two frames cannot.
The file layouts are described in `omnitrack.tracks.foreign`, the interpolation from tracks to every pixel in
`omnitrack.correspondence.track_interpolation`.
"""

from __future__ import annotations

import glob
import hashlib
import threading
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair
from omnitrack.correspondence.raster import Array
from omnitrack.correspondence.track_interpolation import SourceTracks, interpolate, prepare_source
from omnitrack.errors import OmnitrackError
from omnitrack.settings import TracksSettings
from omnitrack.tracks.foreign import SUFFIXES, load_foreign_tracks

_PATH_HINT = "name the tracks: --set flow.tracks.path=FILE (or a folder, or a glob in quotes)"
_READ_AT_ONCE = 1 << 20


class TracksEstimator:
    """A `ClipEstimator` that reads files of tracks.

    Raises:
        OmnitrackError: The settings give a width without a height, or a height without a width.
    """

    def __init__(self, settings: TracksSettings) -> None:
        if (settings.width > 0) != (settings.height > 0):
            raise OmnitrackError(
                f"flow.tracks.width is {settings.width} and flow.tracks.height is {settings.height}",
                "give both, the size of the frame that the positions belong to, or neither",
            )
        self._settings = settings

    def open(self, clip: Clip) -> TrackFlow:
        """Read the tracks of a clip.

        Raises:
            OmnitrackError: No such files, damaged or unknown ones, tracks of another video, or no track that is visible
                in two frames.
        """
        size = (self._settings.width, self._settings.height)
        paths = track_paths(self._settings.path)
        read = [
            load_foreign_tracks(
                path, clip.num_frames, clip.original_size, self._settings.layout, size if all(size) else None
            )
            for path in paths
        ]
        visible = np.concatenate([tracks.visible for tracks in read])
        useful = visible.sum(1) > 1
        if not useful.any():
            raise OmnitrackError(
                f"no track of {self._settings.path} is visible in two frames: there is no flow in it",
                "look at the tracker's visibility, and at flow.tracks.layout",
            )
        unseen = np.flatnonzero(~visible[useful].any(0))
        if len(unseen):
            clip.progress.warn(
                f"no track is visible in {len(unseen)} of {clip.num_frames} frames, the first is {unseen[0]}"
            )
        scale = np.array(clip.size, np.float32) / np.array(clip.original_size, np.float32)
        positions = np.concatenate([tracks.positions for tracks in read])[useful]
        confidence = np.concatenate([tracks.confidence for tracks in read])[useful]
        return TrackFlow(clip, (positions + 0.5) * scale - 0.5, confidence, self._settings)


class TrackFlow:
    """A `PairEstimator` that interpolates the flow between frames of one clip from its tracks.

    Args:
        clip: The clip.
        positions: (N, T, 2) working pixels.
        confidence: (N, T), 0 where occluded.
        settings: How tracks become flow.
    """

    batch_pairs = 1
    concurrent = True

    def __init__(self, clip: Clip, positions: Array, confidence: Array, settings: TracksSettings) -> None:
        self._clip = clip
        self._positions = positions
        self._confidence = confidence
        self._settings = settings
        self._own = threading.local()  # a thread computes all pairs of a source frame in succession

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        return [self._estimate(source, target) for source, target in pairs]

    def _estimate(self, source: int, target: int) -> FlowEstimate:
        ids, prepared = self._source(source)
        sure = np.minimum(self._confidence[ids, source], self._confidence[ids, target])
        if prepared is None or not sure.any():
            width, height = self._clip.size
            return FlowEstimate(np.zeros((height, width, 2), np.float32), np.zeros((height, width), np.float32))
        landed = self._positions[ids, target]
        return FlowEstimate(*interpolate(prepared, landed, sure, self._settings.reach_px))

    def _source(self, source: int) -> tuple[NDArray[np.intp], SourceTracks | None]:
        """Return the tracks visible in a source frame, by row, and their `SourceTracks`; None without tracks."""
        last: tuple[int, NDArray[np.intp], SourceTracks | None] | None = getattr(self._own, "last", None)
        if last is None or last[0] != source:
            ids = self._one_a_pixel(source)
            prepared = None
            if len(ids):
                frame, positions = self._clip.frame(source), self._positions[ids, source]
                prepared = prepare_source(frame, positions, self._settings.neighbours)
            last = source, ids, prepared
            self._own.last = last
        return last[1], last[2]

    def _one_a_pixel(self, source: int) -> NDArray[np.intp]:
        """Return the tracks visible in a frame; of several in one pixel, only the one visible in the most frames."""
        ids = np.flatnonzero(self._confidence[:, source] > 0)
        x, y = np.rint(self._positions[ids, source]).astype(int).T
        longest = np.argsort(-(self._confidence[ids] > 0).sum(1), kind="stable")
        _, first = np.unique((y * self._clip.size[0] + x)[longest], return_index=True)
        return np.asarray(ids[np.sort(longest[first])])


def track_paths(path: str) -> list[Path]:
    """Return the files that ``flow.tracks.path`` names: one file, or those of a folder or glob, sorted by path.

    Raises:
        OmnitrackError: The path is empty or names no file of tracks.
    """
    if not path:
        raise OmnitrackError("the estimator tracks needs tracks, and flow.tracks.path names none", _PATH_HINT)
    if Path(path).is_file():
        return [Path(path)]
    if Path(path).is_dir():
        found = [file for file in Path(path).iterdir() if file.suffix.lower() in SUFFIXES]
    else:
        found = [Path(file) for file in glob.glob(path) if Path(file).is_file()]  # noqa: PTH207 - may be absolute
    if not found:
        raise OmnitrackError(f"flow.tracks.path names no file of tracks: {path}", _PATH_HINT)
    return sorted(found)


def tracks_identity(path: str) -> str:
    """Return a checksum of the files' contents; "none" if there are none, so that a stamp can be made without them."""
    try:
        paths = track_paths(path)
    except OmnitrackError:
        return "none"
    sums = [_checksum(file, file.stat().st_size, file.stat().st_mtime_ns) for file in paths]
    return hashlib.sha256("".join(sorted(sums)).encode()).hexdigest()[:16]


@lru_cache(maxsize=256)
def _checksum(path: Path, size: int, changed: int) -> str:
    """Return the checksum of a file's content; `size` and `changed` (time of change) are only keys of the cache."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()
