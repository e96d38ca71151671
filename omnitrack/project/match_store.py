"""Long-range matches in ``correspondences.h5``.

Layout::

    /                    attribute match_stamp (JSON text)
    /matches/000003      one group per earlier frame; attribute complete
        rows             (M, 7) float32: its frame, x, y, the later frame, x, y, cosine of the features
"""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from omnitrack.config import fingerprint
from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.project.shards import COMPLETE

MATCH_GROUP = "matches"
STAMP = "match_stamp"
COLUMNS = ("source", "source_x", "source_y", "target", "target_x", "target_y", "similarity")
Rows = NDArray[np.float32]


def write_matches(file: h5py.File, source: int, rows: Rows) -> None:
    """Put the matches (M, 7) of one frame with later ones into a group of its own; columns as in `COLUMNS`."""
    group = file.create_group(f"{source:06d}")
    group.create_dataset("rows", data=rows, chunks=rows.shape if len(rows) else None)


def read_matches(project: Project) -> Rows:
    """All matches (M, 7) of a project, by earlier and then by later frame; none where none have been looked for.

    Raises:
        OmnitrackError: The file is damaged.
    """
    empty = np.zeros((0, len(COLUMNS)), np.float32)
    if not project.correspondences_path.exists():
        return empty
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            groups = [group for group in list(file.get(MATCH_GROUP, {}).values()) if group.attrs.get(COMPLETE)]
            rows = np.concatenate([empty, *(group["rows"][()] for group in groups)])
        frames = rows[:, [0, 3]]
        if not np.isfinite(rows).all() or ((frames < 0) | (frames >= project.num_frames)).any():
            raise ValueError("a match lies outside the clip")
        return rows
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise OmnitrackError(
            f"the matches in {project.correspondences_path} cannot be read: {error}",
            f"delete that file, then omnitrack flow {project.root} and omnitrack filter {project.root}",
        ) from error


def matches_of_fit(stamp: dict[str, Any] | None, per_step: int) -> str | None:
    """What a fit's stamp says of the matches it is made from; None where there are none, or it draws none in a step."""
    return fingerprint(stamp) if stamp is not None and per_step > 0 else None


def read_match_stamp(project: Project) -> dict[str, Any] | None:
    """What a project's matches are made from; None where it has none, or its file cannot be read."""
    try:
        with h5py.File(project.correspondences_path, "r") as file:
            text = file.attrs.get(STAMP) if MATCH_GROUP in file else None
            return None if text is None else dict(json.loads(text))
    except (OSError, RuntimeError, ValueError, TypeError):
        return None
