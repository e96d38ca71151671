"""Depth maps of frames in ``products/depth.h5``.

Layout of the groups (`omnitrack.project.product_file` has that of every product)::

    /000003              attribute kind: depth or inverse
        values           (h, w) float32, over the whole frame
"""

from __future__ import annotations

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.product_file import UNREADABLE, ProductFile, checked_attributes
from omnitrack.project.project import Project

COMPRESSION = 4


def write_depth(file: h5py.File, frame: int, values: NDArray[np.float32], kind: str) -> None:
    """Put one frame's map (h, w) into a group of its own."""
    group = file.create_group(f"{frame:06d}")
    group.create_dataset("values", data=values, shuffle=True, compression="gzip", compression_opts=COMPRESSION)
    group.attrs["kind"] = kind


def read_depth(project: Project) -> tuple[NDArray[np.float32], str]:
    """The depth maps of all frames, (T, h, w) float32, and their kind.

    Raises:
        OmnitrackError: They are not there, or damaged.
    """
    product = depth_file(project)
    try:
        with product.open() as file:
            groups = [file[f"{frame:06d}"] for frame in range(project.num_frames)]
            return np.stack([group["values"][()] for group in groups]), str(checked_attributes(groups[0])["kind"])
    except UNREADABLE as error:
        raise OmnitrackError(
            f"the depth maps in {product.path} cannot be read: {error}",
            f"delete that file, then compute it again: {product.command}",
        ) from error


def depth_file(project: Project) -> ProductFile:
    """Where a project keeps its depth maps."""
    return ProductFile(project, "depth", "fit")
