"""How well the points on each thing of a clip were followed, in counts that need no explaining."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_PX = 4.0  # of the clip: a point this near its true place counts as followed
Answer = tuple[NDArray[np.floating], NDArray[np.bool_]]  # tracks (N, T, 2) in pixels, visible (N, T)


@dataclass(frozen=True)
class Thing:
    """The points on one thing.

    Attributes:
        points: How many are scored: those that are seen after the frame they are asked for in.
        near: By method, the share of the places where these are seen that are found within `NEAR_PX`.
        hidden: How many of the points go behind something and come back.
        found_again: By method, how many of these are followed in most frames after they have come back: said to be
            seen, and within `NEAR_PX`.
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
    """Score the frames after each query, thing by thing, in the order in which things are first named.

    Convention:
        Pixels (x, y), centres at integers.

    Args:
        thing_of: (N) the thing that each point is on.
        query_frames: (N,) the frame that each is asked for in.
        truth: (N, T, 2) where they are.
        occluded: (N, T) bool: covered or outside the frame.
        answers: By method.
        size: (width, height) of the clip.
    """
    later = np.arange(truth.shape[1]) > np.asarray(query_frames)[:, None]
    inside = ((truth >= -0.5) & (truth < np.array(size) - 0.5)).all(-1)
    seen = ~occluded & later
    back = seen & np.logical_or.accumulate(occluded & inside & later, axis=1)  # what leaves the frame is not hidden
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
    """In how many rows more than half of what was asked is hit."""
    return int((2 * (hit & asked).sum(1) > asked.sum(1)).sum())
