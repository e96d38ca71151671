"""Depth maps of frames in ``products/depth.h5``.

Layout of the groups (`omnitrack.project.product_file` describes the layout of every product)::

    /000003              attribute kind: depth or inverse
        values           (h, w) float32, over the whole frame
"""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.project.arrays import open_array, put_chunks, read_array
from omnitrack.project.groups import UNREADABLE, checked_attributes, frame_name, members_of
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

COMPRESSION = 4
MOST_SIDE = 320  # of a map: twice as fine as the default grid of a fit, which has 16,384 points
KINDS = {"depth", "inverse"}


def write_depth(file: h5py.File, frame: int, values: NDArray[np.float32], kind: str) -> None:
    """Write one frame's map (h, w) to its own group."""
    group = file.create_group(frame_name(frame))
    put_chunks(group, "values", values, shuffle=True, compression="gzip", compression_opts=COMPRESSION)
    group.attrs["kind"] = kind


def read_depth(project: Project) -> tuple[NDArray[np.float32], str]:
    """Read the depth maps of all frames, (T, h, w) float32, and their kind.

    Raises:
        OmnitrackError: The maps are missing or damaged.
    """
    product = depth_file(project)
    try:
        with product.open() as file:
            if members_of(file) != [frame_name(frame) for frame in range(project.num_frames)]:
                raise ValueError("it has not a map for every frame")
            groups = [file[frame_name(frame)] for frame in range(project.num_frames)]
            sides = range(1, MOST_SIDE + 1), range(1, MOST_SIDE + 1)
            shape = open_array(groups[0], "values", sides, np.float32).shape
            kinds = {str(checked_attributes(group)["kind"]) for group in groups}
            if len(kinds) > 1 or not kinds <= KINDS:
                raise ValueError(f"its kinds are {', '.join(sorted(kinds))}")
            return np.stack([read_array(group, "values", shape, np.float32) for group in groups]), kinds.pop()
    except UNREADABLE as error:
        raise product.damaged_data("the depth maps", error) from error


def depth_file(project: Project) -> ProductFile:
    """Return the file of a project's depth maps."""
    return ProductFile(project, "depth", "fit")
