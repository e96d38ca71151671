"""``products/filtered.h5``: trusted correspondences of a grid of points of every frame.

Layout of the groups (`omnitrack.project.product_file` describes the layout of every product)::

    /000003              one per source frame; attributes grid_stride, grid_shape, steps_per_px
        targets          (K,) int32 target frames
        displacement     (K, P, 2) int16 fixed point, from each grid point to its position in the target
        confidence       (K, P) uint8, 255 the highest, 0 not trusted
        occluded         (K, P) bool: trusted, but occluded in the target
        count            (P,) uint16: number of targets in which a point is trusted
        statistics       (K,) records: points valid, occluded, rejected by appearance; mean_confidence;
                         median_error_px (at 256 x 256)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import grid_shape
from omnitrack.project.arrays import open_array, put_array, put_chunks, read_array, read_number
from omnitrack.project.groups import UNREADABLE, checked_attributes, frame_name, frame_of, members_of
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

STEPS_PER_PX = 32.0
_LARGEST = 32767
STATISTICS = np.dtype(
    [
        ("valid", "<i4"),
        ("occluded", "<i4"),
        ("rejected", "<i4"),
        ("mean_confidence", "<f4"),
        ("median_error_px", "<f4"),
    ]
)


@dataclass(frozen=True)
class SourceCorrespondences:
    """Correspondences of the grid points of one source frame.

    Attributes:
        source: The frame.
        targets: (K,) frames.
        grid_stride: Distance of the grid points in pixels.
        displacement: (K, P, 2) float32 pixels.
        confidence: (K, P) in [0, 1]; 0 is not trusted.
        occluded: (K, P) bool.
        statistics: (K,) of `STATISTICS`.
    """

    source: int
    targets: list[int]
    grid_stride: int
    displacement: NDArray[np.float32]
    confidence: NDArray[np.float32]
    occluded: NDArray[np.bool_]
    statistics: NDArray[np.void]


def write_source(file: h5py.File, found: SourceCorrespondences, size: tuple[int, int]) -> None:
    """Write one source frame's correspondences to its own group."""
    group = file.create_group(frame_name(found.source))
    confidence = np.ceil(found.confidence * 255).astype(np.uint8)
    displacement = np.where(confidence[..., None] > 0, found.displacement, 0)
    steps_per_px = STEPS_PER_PX
    while np.abs(displacement).max(initial=0) * steps_per_px > _LARGEST:
        steps_per_px /= 2
    packed: dict[str, NDArray[Any]] = {
        "displacement": np.rint(displacement * steps_per_px).astype(np.int16),
        "confidence": confidence,
        "occluded": found.occluded & (confidence > 0),
    }
    for name, array in packed.items():
        chunks, growing = (1, *array.shape[1:]), (None, *array.shape[1:])
        most = None if len(array) else growing  # a shot of one frame has no targets; HDF5 bars chunks beyond the data
        options: dict[str, Any] = {"shuffle": True, "compression": "gzip", "compression_opts": 1}
        put_chunks(group, name, array, chunks=chunks, maxshape=most, **options)
    put_array(group, "targets", np.array(found.targets, np.int32))
    put_array(group, "count", (confidence > 0).sum(0).astype(np.uint16))
    put_array(group, "statistics", found.statistics)
    group.attrs["grid_stride"] = found.grid_stride
    group.attrs["grid_shape"] = grid_shape(size, found.grid_stride)
    group.attrs["steps_per_px"] = steps_per_px


def filtered_file(project: Project) -> ProductFile:
    """Return the file of a project's filtered correspondences."""
    return ProductFile(project, "filtered", "filter")


class StoredSource:
    """The stored correspondences of one source frame; its arrays are checked when they are read, on demand.

    Args:
        file: The product.
        name: Name of the frame's group.
        project: The project.

    Raises:
        ValueError: The data are invalid; or another error of `groups.UNREADABLE`.
    """

    def __init__(self, file: h5py.File, name: str, project: Project) -> None:
        self.source = frame_of(name, project.num_frames)
        self._group = file[name]
        attributes = checked_attributes(self._group)
        self.grid_stride = int(read_number(attributes, "grid_stride"))
        if self.grid_stride != attributes["grid_stride"] or self.grid_stride > max(project.size):
            raise ValueError(f"grid_stride is {attributes['grid_stride']}")
        self.steps_per_px = read_number(attributes, "steps_per_px")
        self.shape = grid_shape(project.size, self.grid_stride)
        self.points = self.shape[0] * self.shape[1]
        last = project.num_frames - 1
        self.targets = read_array(self._group, "targets", (range(project.num_frames),), np.int32, 0, last)
        if self.source in self.targets or len(np.unique(self.targets)) < len(self.targets):
            raise ValueError(f"the targets of frame {self.source} are not other frames, each once")

    def believed(self) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.bool_]]:
        """Read displacement (K, P, 2), confidence (K, P) and occlusion (K, P), as stored."""
        shape = len(self.targets), self.points
        displacement = read_array(self._group, "displacement", (*shape, 2), np.int16)
        confidence = read_array(self._group, "confidence", shape, np.uint8)
        return displacement, confidence, read_array(self._group, "occluded", shape, bool)

    def statistics(self) -> NDArray[np.void]:
        """(K,) of `STATISTICS`."""
        open_array(self._group, "count", (self.points,), np.uint16)
        return read_array(self._group, "statistics", (len(self.targets),), STATISTICS)


def read_statistics(project: Project) -> tuple[NDArray[np.void], int, int]:
    """Read statistics (N,) of all filtered pairs of frames, and the numbers of source frames and of grid points.

    Raises:
        OmnitrackError: Nothing filtered yet, or damaged data.
    """
    product = filtered_file(project)
    try:
        with product.open() as file:
            sources = [StoredSource(file, name, project) for name in members_of(file)]
            return np.concatenate([source.statistics() for source in sources]), len(sources), sources[0].points
    except UNREADABLE as error:
        raise product.damaged(error) from error
