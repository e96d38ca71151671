"""Which correspondences to keep where there are more than the memory of a fit may hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_TARGETS = 16  # per source frame, before points are left out: the adjacent ones and some of every distance
GOLDEN = 0.618034  # golden ratio: its multiples spread evenly over [0, 1)


def thinning(sources: int, targets: int, shape: tuple[int, int], most: int) -> tuple[int, int]:
    """How to bring correspondences below a number of entries, with every source frame.

    Fewer targets first, as those of like distance say much the same; where that would leave less than `LEAST_TARGETS`
    of them, every 2nd, 3rd, ... grid point along both sides.

    Args:
        sources: Source frames.
        targets: Targets of each, at most.
        shape: (rows, columns) of the grid.
        most: Entries.

    Returns:
        (step, kept): take every step-th grid point along both sides, and at most that many targets of each source.
    """
    for step in range(1, max(shape) + 1):
        kept = most // (sources * -(-shape[0] // step) * -(-shape[1] // step))
        if kept >= min(targets, LEAST_TARGETS):
            return step, min(targets, kept)
    return max(shape), 1


def kept_targets(source: int, targets: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Which `most` of the targets (K,) of a source to keep: indices in order.

    The adjacent frames, and every n-th of the others by distance, beginning at another one in each source frame, so
    that over all sources every distance is there.
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
