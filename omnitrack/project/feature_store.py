"""Features of frames in ``products/features.h5``.

Layout of the groups (`omnitrack.project.product_file` describes the layout of every product)::

    /                    attribute threshold
    /000003
        values           (h, w, C) float16, one chunk; see `omnitrack.correspondence.features.contract`
"""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.byte_cache import ByteCache
from omnitrack.closing import Closing
from omnitrack.correspondence.features.contract import PUBLISHED_THRESHOLD
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.hdf5_file import plain_member
from omnitrack.project.arrays import open_array, put_array, read_array, read_number
from omnitrack.project.groups import UNREADABLE, frame_name, members_of
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

THRESHOLD = "threshold"
CACHE_BYTES = 512 * 2**20
MOST_CHANNELS = 1 << 14  # the largest transformers have a few thousand
Features = NDArray[np.float32]


class FeatureStore(Closing):
    """The features of a project's frames, read-only; a context manager; may be read from several threads.

    Args:
        project: The project.
        cache_bytes: Memory for cached features, `CACHE_BYTES` at most.

    Attributes:
        size: (width, height) of the frames in pixels.
        grid: (h, w) cells of every map.
        channels: C.
        stamp: What the features are made from.
        threshold: The extractor's smallest similarity of matching features
            (`omnitrack.correspondence.features.contract.FeatureExtractor`).

    Raises:
        OmnitrackError: No features yet, features of other frames, or a damaged file.
    """

    def __init__(self, project: Project, cache_bytes: int = CACHE_BYTES) -> None:
        self._product = features_file(project)
        self._cache: ByteCache[int, Features] = ByteCache(
            min(cache_bytes, CACHE_BYTES), lambda features: features.nbytes, 1
        )
        self.size, self._num_frames = project.size, project.num_frames
        stamp = self._product.stamp()
        if stamp is None:
            raise OmnitrackError(
                f"project {project.root} has no features of its frames",
                f"compute them: {self._product.command} --set features.extractor=xfeat --set features.weights=FILE",
            )
        self.stamp = stamp
        if stamp.get("inputs", {}).get("frames") != project.meta.fingerprint:
            raise OmnitrackError(
                f"the features of project {project.root} were computed from other frames than it has now",
                f"compute them again: {self._product.command}",
            )
        self._file = self._product.open()
        try:
            self._check(project.num_frames)
        except UNREADABLE as error:
            self._file.close()
            raise self._damaged(str(error)) from error

    @property
    def decoded_bytes(self) -> int:
        """Memory of the cached features of all frames."""
        return self._num_frames * self.grid[0] * self.grid[1] * self.channels * np.dtype(np.float32).itemsize

    def close(self) -> None:
        """Close the file and drop the cached features."""
        self._cache.clear()
        self._file.close()

    def features(self, frame: int) -> Features:
        """Return the features of a frame, (h, w, C) float32, each of unit length or 0; shared, so do not change them.

        Raises:
            OmnitrackError: No such frame, or its data are damaged.
        """
        return self._cache.through(frame, lambda: self._read(frame))

    def _check(self, num_frames: int) -> None:
        there = set(members_of(self._file))
        missing = [t for t in range(num_frames) if frame_name(t) not in there]
        if missing:
            raise ValueError(f"frame {missing[0]} has no features")
        sides = range(1, self.size[1] + 1), range(1, self.size[0] + 1)  # of a map: no finer than the frame
        first = open_array(self._file[frame_name(0)], "values", (*sides, range(1, MOST_CHANNELS + 1)), np.float16)
        height, width, channels = first.shape
        self.grid, self.channels = (int(height), int(width)), int(channels)
        attributes = self._file.attrs
        self.threshold = read_number(attributes, THRESHOLD, -1.0) if THRESHOLD in attributes else PUBLISHED_THRESHOLD

    def _read(self, frame: int) -> Features:
        try:
            group = plain_member(self._file, frame_name(frame))
            values = read_array(group, "values", (*self.grid, self.channels), np.float16)
        except UNREADABLE as error:
            raise self._damaged(f"features of frame {frame}: {error}") from error
        return np.asarray(values, np.float32)

    def _damaged(self, cause: str) -> DamagedError:
        return self._product.damaged_data("the features", cause)


def write_features(file: h5py.File, frame: int, features: Features) -> None:
    """Write one frame's features (h, w, C) to its own group."""
    group = file.create_group(frame_name(frame))
    put_array(group, "values", features.astype(np.float16))


def features_file(project: Project) -> ProductFile:
    """Return the file of the features of a project's frames."""
    return ProductFile(project, "features", "filter")
