"""Features of frames in ``correspondences.h5``.

Layout::

    /                    attributes features_stamp (JSON text), features_threshold
    /features/000003     attribute complete
        values           (h, w, C) float16, one chunk; see `omnitrack.correspondence.features.contract`
"""

from __future__ import annotations

import json
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.byte_cache import ByteCache
from omnitrack.correspondence.features.contract import PUBLISHED_THRESHOLD
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.shards import COMPLETE
from omnitrack.project.store import FEATURES_GROUP

STAMP = "features_stamp"
THRESHOLD = "features_threshold"
CACHE_BYTES = 512 * 2**20
Features = NDArray[np.float32]


class FeatureStore:
    """The features of a project's frames, read-only; a context manager; may be read from several threads.

    Args:
        project: The project.
        cache_bytes: Features to keep in memory.

    Attributes:
        size: (width, height) of the frames in pixels.
        grid: (h, w) cells of every map.
        channels: C.
        stamp: What the features are made from.
        threshold: Least similarity at which they are alike, by the extractor
            (`omnitrack.correspondence.features.contract.FeatureExtractor`).

    Raises:
        OmnitrackError: No features yet, features of other frames, or a damaged file.
    """

    def __init__(self, project: Project, cache_bytes: int = CACHE_BYTES) -> None:
        self._path = project.correspondences_path
        self._command = f"omnitrack filter {project.root}"
        self._cache: ByteCache[int, Features] = ByteCache(cache_bytes, lambda features: features.nbytes, 1)
        self.size = project.size
        stamp = read_features_stamp(project)
        if stamp is None:
            raise OmnitrackError(
                f"project {project.root} has no features of its frames",
                f"compute them: {self._command} --set features.extractor=xfeat --set features.weights=FILE",
            )
        self.stamp = stamp
        if stamp.get("inputs", {}).get("frames") != project.meta.fingerprint:
            raise OmnitrackError(
                f"the features of project {project.root} were computed from other frames than it has now",
                f"compute them again: {self._command}",
            )
        self._file = h5py.File(self._path, "r")
        try:
            self._check(project.num_frames)
        except (OSError, RuntimeError, KeyError, ValueError, AttributeError) as error:
            self._file.close()
            raise self._damaged(str(error)) from error

    def __enter__(self) -> FeatureStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; cached features go too."""
        self._cache.clear()
        self._file.close()

    def features(self, frame: int) -> Features:
        """(h, w, C) float32 features of a frame, each of unit length or 0; shared, not to be written to.

        Raises:
            OmnitrackError: No such frame, or its data are damaged.
        """
        return self._cache.through(frame, lambda: self._read(frame))

    def _check(self, num_frames: int) -> None:
        group = self._file[FEATURES_GROUP]
        there = {name for name, frame in list(group.items()) if frame.attrs.get(COMPLETE)}
        missing = [t for t in range(num_frames) if frame_name(t) not in there]
        if missing:
            raise ValueError(f"frame {missing[0]} has no features")
        height, width, channels = group[frame_name(0)]["values"].shape
        self.grid, self.channels = (int(height), int(width)), int(channels)
        self.threshold = float(self._file.attrs.get(THRESHOLD, PUBLISHED_THRESHOLD))

    def _read(self, frame: int) -> Features:
        try:
            values = np.asarray(self._file[FEATURES_GROUP][frame_name(frame)]["values"][()], np.float32)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise self._damaged(f"features of frame {frame}: {error}") from error
        if values.shape != (*self.grid, self.channels):
            raise self._damaged(f"the features of frame {frame} have the shape {values.shape}")
        return values

    def _damaged(self, cause: str) -> OmnitrackError:
        return OmnitrackError(
            f"the features in {self._path} cannot be read: {cause}",
            f"delete that file, then compute it again: {self._command.replace('filter', 'flow', 1)},"
            f" then {self._command}",
        )


def write_features(file: h5py.File, frame: int, features: Features) -> None:
    """Put one frame's features (h, w, C) into a group of its own."""
    group = file.create_group(frame_name(frame))
    group.create_dataset("values", data=features.astype(np.float16), chunks=features.shape)


def read_features_stamp(project: Project) -> dict[str, Any] | None:
    """What a project's features are made from; None where it has none, or its file cannot be read."""
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            text = file.attrs.get(STAMP) if FEATURES_GROUP in file else None
            return None if text is None else dict(json.loads(text))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None


def features_bytes(project: Project) -> int:
    """Bytes on disk of a project's features; 0 where it has none, or its file cannot be read."""
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            frames = list(file[FEATURES_GROUP].values()) if FEATURES_GROUP in file else []
            return sum(frame["values"].id.get_storage_size() for frame in frames)
    except (OSError, RuntimeError, KeyError):
        return 0


def frame_name(frame: int) -> str:
    """Name of a frame's group, which sorts like the frame."""
    return f"{frame:06d}"
