"""How well the points on each object of a clip were tracked, in counts that explain themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_PX = 4.0  # of the clip: a point this close to its true position counts as tracked
Answer = tuple[NDArray[np.floating], NDArray[np.bool_]]  # tracks (N, T, 2) in pixels, visible (N, T)


@dataclass(frozen=True)
class Thing:
    """The scores of the points on one object.

    Attributes:
        points: Number of points scored: those that are visible at some time after their query frame.
        near: By method, the share of their visible positions that are found within `NEAR_PX`.
        hidden: Number of points that are covered by something and become visible again.
        found_again: By method, the number of these points that are tracked in most of their visible frames after that:
            estimated as visible, and within `NEAR_PX`.
    """

    points: int
    near: dict[str, float]
    hidden: int
    found_again: dict[str, int]


def score_things(
    thing_of: Sequence[str],
    query_frames: NDArray[np.integer],
    truth: NDArray[np.floating],
    occluded: NDArray[np.bool_],
    answers: Mapping[str, Answer],
    size: tuple[int, int],
) -> dict[str, Thing]:
    """Score the frames after each query by object, in the order in which objects first appear in `thing_of`.

    Convention:
        Pixels (x, y), centres at integers.

    Args:
        thing_of: (N,) the object that each point is on.
        query_frames: (N,) the query frame of each point.
        truth: (N, T, 2) true positions.
        occluded: (N, T) bool: covered or outside the frame.
        answers: The tracks and visibility of each method.
        size: (width, height) of the clip.
    """
    later = np.arange(truth.shape[1]) > np.asarray(query_frames)[:, None]
    inside = ((truth >= -0.5) & (truth < np.array(size) - 0.5)).all(-1)
    seen = ~occluded & later
    back = seen & np.logical_or.accumulate(occluded & inside & later, axis=1)  # leaving the frame is not hiding
    near = {name: np.linalg.norm(tracks - truth, axis=-1) < NEAR_PX for name, (tracks, _) in answers.items()}
    followed = {name: near[name] & visible for name, (_, visible) in answers.items()}
    things = {}
    for thing in dict.fromkeys(thing_of):
        rows = np.array([name == thing for name in thing_of])
        counted, came_back = seen[rows], back[rows]
        things[thing] = Thing(
            points=int(counted.any(1).sum()),
            near={name: float(hit[rows][counted].mean()) if counted.any() else 0.0 for name, hit in near.items()},
            hidden=int(came_back.any(1).sum()),
            found_again={name: _mostly(hit[rows], came_back) for name, hit in followed.items()},
        )
    return things


def _mostly(hit: NDArray[np.bool_], asked: NDArray[np.bool_]) -> int:
    """Number of rows in which more than half of the `asked` entries are hit."""
    return int((2 * (hit & asked).sum(1) > asked.sum(1)).sum())
