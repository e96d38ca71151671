"""Long-range matches in ``products/matches.h5``.

Layout of the groups (`omnitrack.project.product_file` describes the layout of every product)::

    /000003              one per earlier frame
        rows             (M, 7) float32: this frame, x, y, the later frame, x, y, cosine of the features
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.project.arrays import check_found, open_array, put_array
from omnitrack.project.groups import UNREADABLE, frame_name, frame_of, members_of
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

COLUMNS = ("source", "source_x", "source_y", "target", "target_x", "target_y", "similarity")
MOST_COSINE = 1.01  # of rounded unit vectors
Rows = NDArray[np.float32]


def write_matches(file: h5py.File, source: int, rows: Rows) -> None:
    """Write the matches (M, 7) of one frame with later frames to its own group; columns as in `COLUMNS`."""
    group = file.create_group(frame_name(source))
    put_array(group, "rows", rows)


def read_matches(project: Project) -> Rows:
    """Read all matches (M, 7) of a project, by earlier and then by later frame; none if none have been computed.

    Raises:
        OmnitrackError: The file is damaged.
    """
    empty, product = np.zeros((0, len(COLUMNS)), np.float32), matches_file(project)
    if not product.path.exists():
        return empty
    try:
        with product.open() as file:
            return np.concatenate([empty, *(_rows(file[name], project) for name in members_of(file))])
    except UNREADABLE as error:
        raise product.damaged_data("the matches", error) from error


def _rows(group: h5py.Group, project: Project) -> Rows:
    """Read and check the matches (M, 7) of one frame; refinement may have moved them slightly out of the frame."""
    width, height = project.size
    source = frame_of(str(group.name).rpartition("/")[2], project.num_frames)
    most = project.num_frames * width * height
    dataset = open_array(group, "rows", (range(most + 1), len(COLUMNS)), np.float32)
    rows: Rows = dataset[()]
    check_found(dataset, rows)
    low = np.array([source, -width, -height, source + 1, -width, -height, -MOST_COSINE])
    high = np.array([source, 2 * width, 2 * height, project.num_frames - 1, 2 * width, 2 * height, MOST_COSINE])
    if not ((rows >= low) & (rows <= high)).all() or (rows[:, [0, 3]] % 1).any():
        raise ValueError(f"a match of frame {source} lies outside the clip, or is none")
    return rows


def matches_of_fit(stamp: dict[str, Any] | None, per_step: int) -> str | None:
    """Return what a fit's stamp records of its matches; None if there are no matches, or a step draws none."""
    return fingerprint(stamp) if stamp is not None and per_step > 0 else None


def matches_file(project: Project) -> ProductFile:
    """Return the file of a project's long-range matches."""
    return ProductFile(project, "matches", "filter")
