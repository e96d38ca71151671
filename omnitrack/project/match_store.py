"""Long-range matches in ``products/matches.h5``.

Layout of the groups (`omnitrack.project.product_file` has that of every product)::

    /000003              one per earlier frame
        rows             (M, 7) float32: its frame, x, y, the later frame, x, y, cosine of the features
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.errors import OmnitrackError
from omnitrack.project.product_file import UNREADABLE, ProductFile, complete_groups, put_array
from omnitrack.project.project import Project

COLUMNS = ("source", "source_x", "source_y", "target", "target_x", "target_y", "similarity")
Rows = NDArray[np.float32]


def write_matches(file: h5py.File, source: int, rows: Rows) -> None:
    """Put the matches (M, 7) of one frame with later ones into a group of its own; columns as in `COLUMNS`."""
    group = file.create_group(f"{source:06d}")
    put_array(group, "rows", rows)


def read_matches(project: Project) -> Rows:
    """All matches (M, 7) of a project, by earlier and then by later frame; none where none have been looked for.

    Raises:
        OmnitrackError: The file is damaged.
    """
    empty, product = np.zeros((0, len(COLUMNS)), np.float32), matches_file(project)
    if not product.path.exists():
        return empty
    try:
        with product.open() as file:
            rows = np.concatenate([empty, *(file[name]["rows"][()] for name in complete_groups(file))])
        frames = rows[:, [0, 3]]
        if not np.isfinite(rows).all() or ((frames < 0) | (frames >= project.num_frames)).any():
            raise ValueError("a match lies outside the clip")
        return rows
    except UNREADABLE as error:
        raise OmnitrackError(
            f"the matches in {product.path} cannot be read: {error}",
            f"delete that file, then compute it again: {product.command}",
        ) from error


def matches_of_fit(stamp: dict[str, Any] | None, per_step: int) -> str | None:
    """What a fit's stamp says of the matches it is made from; None where there are none, or it draws none in a step."""
    return fingerprint(stamp) if stamp is not None and per_step > 0 else None


def matches_file(project: Project) -> ProductFile:
    """Where a project keeps its long-range matches."""
    return ProductFile(project, "matches", "filter")
