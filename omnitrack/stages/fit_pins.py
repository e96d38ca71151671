"""Pins as correspondences of a fit: a manually corrected track gives the position of a point in several frames."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.project import Project
from omnitrack.stages.export import check_tracks_of
from omnitrack.stages.query_checks import checked_pins, checked_queries
from omnitrack.tracks.files import load_tracks
from omnitrack.tracks.tracks import Tracks

if TYPE_CHECKING:
    import torch

    from omnitrack.optimize.matches import LongRangeMatches

INPUT = "pins"  # their name in a fit's stamp
PINS_HINT = "pin a point where it goes wrong, and save it: omnitrack query PROJECT --pin TRACK,X,Y@T -o FILE"


def read_pins(project: Project, tracks: Tracks | Path) -> NDArray[np.float32]:
    """Return the pairs of corresponding positions that the pins of tracks, or of a track file, define.

    Raises:
        OmnitrackError: A file that cannot be read, tracks of another video, or as for `pairs_of_pins`.
    """
    where = "the tracks" if isinstance(tracks, Tracks) else str(tracks)
    found = tracks if isinstance(tracks, Tracks) else load_tracks(tracks)
    check_tracks_of(project, found, where)
    return pairs_of_pins(project, found.queries, found.pins, where)


def pairs_of_pins(project: Project, queries: ArrayLike, pins: ArrayLike, where: str) -> NDArray[np.float32]:
    """Return the pairs of corresponding positions that pins define.

    Convention:
        Pixels are (x, y) of the original video, x right, y down, centres at integers.

    Args:
        project: The clip.
        queries: (N, 3) rows (t, x, y).
        pins: (M, 4) rows (track, t, x, y).
        where: Origin of the pins, for messages.

    Returns:
        (K, 6) rows frame, x, y, other frame, x, y: for each track from its query to every pin, and from each known
        position to the next one in time. Pairs across a cut are left out: nothing is tracked across it.

    Raises:
        OmnitrackError: No pins, positions outside the video, or no pair within one shot.
    """
    if not np.size(pins):
        raise OmnitrackError(f"there are no pins in {where}", PINS_HINT)
    queries = checked_queries(project, queries)
    pins = checked_pins(project, queries, pins)
    shot_of = np.repeat(np.arange(len(project.shots)), [len(shot) for shot in project.shots])
    pairs = []
    for track in np.unique(pins[:, 0]).astype(int):
        places = np.concatenate([queries[track][None], pins[pins[:, 0] == track, 1:]])
        by_time = places[np.argsort(places[:, 0])]
        joined = [*((places[0], pin) for pin in places[1:]), *pairwise(by_time)]
        pairs += [np.concatenate(sorted(pair, key=lambda place: place[0])) for pair in joined]  # the earlier one first
    rows = np.unique(np.array(pairs, np.float32).reshape(-1, 6), axis=0)
    rows = rows[shot_of[rows[:, 0].astype(int)] == shot_of[rows[:, 3].astype(int)]]
    if not len(rows):
        raise OmnitrackError(f"the pins in {where} are in other shots than their points", PINS_HINT)
    return rows


def as_matches(project: Project, rows: NDArray[np.float32], device: torch.device) -> LongRangeMatches | None:
    """Convert pairs of positions to the matches that a fit uses; None if there are none."""
    from omnitrack.optimize.matches import LongRangeMatches

    places = rows.reshape(-1, 2, 3).copy()
    places[..., 1:] = project.to_working(places[..., 1:].reshape(-1, 2)).reshape(-1, 2, 2)
    return LongRangeMatches.from_rows(places.reshape(-1, 6), device)


def as_input(rows: NDArray[np.float32]) -> str:
    """Convert pairs of positions to the text in a fit's stamp; `from_stamp` reads it."""
    return json.dumps(rows.tolist())


def from_stamp(project: Project, stamp: dict[str, Any]) -> NDArray[np.float32] | None:
    """Return the pairs of positions that a fit was made from; None if there are none, or if they are invalid."""
    try:
        rows = np.array(json.loads(stamp["inputs"][INPUT]), np.float32).reshape(-1, 6)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None
    frames = rows[:, [0, 3]]
    known = np.isfinite(rows).all() and ((frames >= 0) & (frames < project.num_frames) & (frames % 1 == 0)).all()
    return rows if len(rows) and known else None


def without_pins(stamp: dict[str, Any]) -> dict[str, Any]:
    """Return the stamp of the same fit without pins."""
    inputs = {name: value for name, value in stamp["inputs"].items() if name != INPUT}
    settings = {name: value for name, value in stamp["settings"].items() if not name.startswith("pin_")}
    return {**stamp, "inputs": inputs, "settings": settings}
