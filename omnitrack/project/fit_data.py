"""The trusted correspondences of a project as tensors, as many as a fit has memory for."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch

from omnitrack.correspondence.raster import pixel_grid
from omnitrack.errors import OmnitrackError
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.thinning import kept_targets, thinning
from omnitrack.project.filtered import StoredSource, filtered_file
from omnitrack.project.groups import UNREADABLE, members_of
from omnitrack.project.project import Project


def read_correspondences(project: Project, device: torch.device, most: int) -> Correspondences:
    """Read all trusted correspondences of a project as one compact array on a device.

    If the file has more entries than `most`, every source frame is kept, with fewer targets, then with fewer points
    (`thinning`). A frame that is left out would have no depth of its own and no measured step to its neighbours, from
    which the camera's motion is accumulated; a point that is left out is still surrounded by points that move like it.

    Args:
        project: A project that has been filtered.
        device: The device of the result.
        most: Largest number of entries, of 6 bytes each.

    Raises:
        OmnitrackError: Nothing filtered yet, or damaged data.
    """
    product = filtered_file(project)
    try:
        with product.open() if product.path.exists() else nullcontext() as file:
            names = [] if file is None else members_of(file)
            if file is None or not names:
                message = f"project {project.root} has not been filtered yet"
                raise OmnitrackError(message, f"filter it: {product.command}")
            sources = [StoredSource(file, name, project) for name in names]
            return _gather(sources, project, device, most)
    except UNREADABLE as error:
        raise product.damaged(error) from error


def _gather(sources: list[StoredSource], project: Project, device: torch.device, most: int) -> Correspondences:
    counts = [len(source.targets) for source in sources]
    stride, full = sources[0].grid_stride, sources[0].shape
    if any(source.grid_stride != stride for source in sources):
        raise ValueError("its frames have grids of different strides")
    whole = sum(counts) * full[0] * full[1] <= most
    step, slots = (1, max(counts)) if whole else thinning(len(sources), max(counts), full, most)
    rows, columns = (np.arange(min((step - 1) // 2, side - 1), side, step) for side in full)
    points = slice(None) if whole else (rows[:, None] * full[1] + columns).ravel()
    grid = pixel_grid(project.size, stride)[points]
    shape = (len(sources), slots, len(grid))
    targets = np.full(shape[:2], -1, np.int64)
    displacement = np.zeros((*shape, 2), np.int16)
    confidence = np.zeros(shape, np.uint8)
    occluded = np.zeros(shape, bool)
    colors = np.zeros((shape[0], shape[2], 3), np.uint8)
    steps_per_px = min(source.steps_per_px for source in sources)
    x, y = grid.astype(int).T
    for row, stored in enumerate(sources):
        kept = kept_targets(stored.source, stored.targets, slots)
        targets[row, : len(kept)] = stored.targets[kept]
        coarser = stored.steps_per_px / steps_per_px
        moved, sure, hidden = stored.believed()
        moved = moved[kept][:, points]
        displacement[row, : len(kept)] = moved if coarser == 1 else np.rint(moved / coarser)
        confidence[row, : len(kept)] = sure[kept][:, points]
        occluded[row, : len(kept)] = hidden[kept][:, points]
        colors[row] = project.frame(stored.source)[y, x]
    return Correspondences.from_numpy(
        sources=np.array([stored.source for stored in sources]),
        targets=targets,
        grid=grid,
        grid_shape=(len(rows), len(columns)),
        displacement=displacement,
        confidence=confidence,
        occluded=occluded,
        colors=colors,
        unit_px=1 / steps_per_px,
        size=project.size,
        num_frames=project.num_frames,
        device=device,
        cuts=project.meta.cuts,
    )
