"""Depth maps of frames in ``correspondences.h5``.

Layout::

    /                    attribute depth_stamp (JSON text)
    /depth/000003        attributes complete, kind (``depth``: larger is farther, or ``inverse``)
        values           (h, w) float32, over the whole frame
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project

DEPTH_GROUP = "depth"
STAMP = "depth_stamp"
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
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            groups = [file[DEPTH_GROUP][f"{frame:06d}"] for frame in range(project.num_frames)]
            return np.stack([group["values"][()] for group in groups]), str(groups[0].attrs["kind"])
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise OmnitrackError(
            f"the depth maps in {project.correspondences_path} cannot be read: {error}",
            f"delete that file, then compute it again: omnitrack flow {project.root}, then omnitrack filter"
            f" {project.root}",
        ) from error


def stored_bytes(project: Project) -> int:
    """Bytes on disk of a project's depth maps; 0 where it has none, or its file cannot be read."""
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            groups = list(file.get(DEPTH_GROUP, {}).values())
            return sum(group["values"].id.get_storage_size() for group in groups)
    except (OSError, RuntimeError, KeyError):
        return 0


def read_depth_stamp(project: Project) -> dict[str, Any] | None:
    """What a project's depth maps are made from; None where it has none, or its file cannot be read."""
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            text = file.attrs.get(STAMP) if DEPTH_GROUP in file else None
            return None if text is None else dict(json.loads(text))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None
