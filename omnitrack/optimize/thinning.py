"""The choice of correspondences to keep if there are more than fit into the memory of a fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_TARGETS = 16  # per source frame, before points are left out: the adjacent frames and some at every distance
GOLDEN = 0.618034  # golden ratio: its multiples spread evenly over [0, 1)


def thinning(sources: int, targets: int, shape: tuple[int, int], most: int) -> tuple[int, int]:
    """How to reduce correspondences to a number of entries, keeping every source frame.

    Targets are reduced first, because targets at similar distances are largely redundant. If that would leave fewer
    than `LEAST_TARGETS`, only every 2nd, 3rd, ... grid point along both sides is kept.

    Args:
        sources: Number of source frames.
        targets: Largest number of targets of a source.
        shape: (rows, columns) of the grid.
        most: Largest number of entries.

    Returns:
        (step, kept): take every step-th grid point along both sides, and at most `kept` targets of each source.
    """
    for step in range(1, max(shape) + 1):
        kept = most // (sources * -(-shape[0] // step) * -(-shape[1] // step))
        if kept >= min(targets, LEAST_TARGETS):
            return step, min(targets, kept)
    return max(shape), 1


def kept_targets(source: int, targets: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Which `most` of the targets (K,) of a source to keep: indices in order.

    These are the adjacent frames, and every n-th of the others by distance. The first of these differs between source
    frames, so that every distance occurs over all sources.
    """
    if len(targets) <= most:
        return np.arange(len(targets))
    distance = np.abs(targets - source)
    order = np.lexsort((targets, distance))
    adjacent, others = order[distance[order] == 1][:most], order[distance[order] != 1]
    room = most - len(adjacent)
    turn = (source * GOLDEN) % 1
    picked = others[((np.arange(room) + turn) * (len(others) / max(room, 1))).astype(int)]
    return np.sort(np.concatenate([adjacent, picked]))
