"""The filtered half of ``correspondences.h5``: believed correspondences of a grid of points of every frame.

Layout::

    /filtered/000003     one group per source frame; attributes complete, grid_stride, grid_shape, steps_per_px
        targets          (K,) int32 target frames
        displacement     (K, P, 2) int16 fixed point, from each grid point to its place in the target
        confidence       (K, P) uint8, 255 the surest, 0 not believed
        occluded         (K, P) bool: believed to be hidden there
        count            (P,) uint16: in how many targets a point is believed
        statistics       (K,) records: points valid, occluded, rejected by appearance; mean_confidence;
                         median_error_px (at 256 x 256)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray

from omnitrack.correspondence.flows import grid_shape, pixel_grid
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.project.project import Project
from omnitrack.project.shards import COMPLETE
from omnitrack.project.store import FILTERED_GROUP

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
    """What is believed of the grid points of one source frame.

    Attributes:
        source: The frame.
        targets: (K,) frames.
        grid_stride: Distance of the grid points in pixels.
        displacement: (K, P, 2) float32 pixels.
        confidence: (K, P) in [0, 1]; 0 is not believed.
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
    """Put one source frame's correspondences into a group of its own."""
    group = file.create_group(f"{found.source:06d}")
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
        chunks = (1, *array.shape[1:])
        group.create_dataset(name, data=array, chunks=chunks, shuffle=True, compression="gzip", compression_opts=1)
    group["targets"] = np.array(found.targets, np.int32)
    group["count"] = (confidence > 0).sum(0).astype(np.uint16)
    group["statistics"] = found.statistics
    group.attrs["grid_stride"] = found.grid_stride
    group.attrs["grid_shape"] = grid_shape(size, found.grid_stride)
    group.attrs["steps_per_px"] = steps_per_px


def read_correspondences(project: Project, device: torch.device, most: int) -> Correspondences:
    """All believed correspondences of a project as one compact array on a device.

    Args:
        project: Has been filtered.
        device: Where to.
        most: Entries to keep at most; of a larger file every n-th source frame is read.

    Raises:
        OmnitrackError: Nothing filtered yet, or damaged data.
    """
    command = f"omnitrack filter {project.root}"
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            groups = [g for g in list(file.get(FILTERED_GROUP, {}).values()) if g.attrs.get(COMPLETE)]
            if not groups:
                raise OmnitrackError(f"project {project.root} has not been filtered yet", f"filter it: {command}")
            entries = sum(g["confidence"].size for g in groups)
            kept = max(1, len(groups) * most // entries)
            return _gather(groups[:: -(-len(groups) // kept)], project, device)
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise OmnitrackError(
            f"{project.correspondences_path} cannot be read: {error}",
            f"compute it again: omnitrack flow {project.root}, then {command}",
        ) from error


def _gather(groups: list[h5py.Group], project: Project, device: torch.device) -> Correspondences:
    stride = int(groups[0].attrs["grid_stride"])
    grid = pixel_grid(project.size, stride)
    slots = max(len(g["targets"]) for g in groups)
    shape = (len(groups), slots, len(grid))
    targets = np.full(shape[:2], -1, np.int64)
    displacement = np.zeros((*shape, 2), np.int16)
    confidence = np.zeros(shape, np.uint8)
    occluded = np.zeros(shape, bool)
    steps_per_px = min(float(g.attrs["steps_per_px"]) for g in groups)
    for row, group in enumerate(groups):
        count = len(group["targets"])
        targets[row, :count] = group["targets"][()]
        coarser = float(group.attrs["steps_per_px"]) / steps_per_px
        displacement[row, :count] = np.rint(group["displacement"][()] / coarser)
        confidence[row, :count] = group["confidence"][()]
        occluded[row, :count] = group["occluded"][()]
    sources = np.array([int(g.name.rsplit("/", 1)[-1]) for g in groups])
    x, y = grid.astype(int).T
    return Correspondences.from_numpy(
        sources=sources,
        targets=targets,
        grid=grid,
        grid_shape=grid_shape(project.size, stride),
        displacement=displacement,
        confidence=confidence,
        occluded=occluded,
        colors=np.stack([project.frame(source)[y, x] for source in sources.tolist()]),
        unit_px=1 / steps_per_px,
        size=project.size,
        num_frames=project.num_frames,
        device=device,
    )
