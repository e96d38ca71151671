"""Frames far from a source that show the same place again: one hop from the frames around the source.

A chain goes outward up to a window, and loses points that leave the view. If a frame within the window has a partner
beyond it (`FlowSource.partners`), the hop between these two continues the chain.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from omnitrack.correspondence.chaining import ChainState, choose, extend
from omnitrack.correspondence.flows import FlowSource

MOST_TARGETS = 6  # far frames per source: a sixth more targets than within the window alone in a long clip
MOST_STARTS = 2  # frames from which each far frame is reached
SPACING = 16  # frames between far frames, and from the window to them: nearer ones add nothing


class Revisits:
    """The far targets of one source frame, found while a chain passes by the frames around it.

    Memory: one state per far target.

    Args:
        flows: Pairwise flow.
        source: The frame that chains start from.
        frames: Frames that may be visited: those of the source's shot.
        window: Largest distance from the source, in frames, that the chains visit; far frames are beyond.
        threshold_px: Largest cycle error of a visible point, at 256 x 256.
    """

    def __init__(self, flows: FlowSource, source: int, frames: range, window: int, threshold_px: float) -> None:
        self._flows = flows
        self._threshold_px = threshold_px
        self._best: dict[int, ChainState] = {}
        self.targets: dict[int, list[int]] = {}  # from each far frame to the frames it is reached from, nearest first
        visited = range(max(frames.start, source - window), min(frames.stop, source + window + 1))
        for start in sorted(visited, key=lambda t: (abs(t - source), t)):
            for target in flows.partners(start):
                if abs(target - source) > window + SPACING:
                    self._admit(start, target)

    def pass_by(self, frame: int, state: ChainState) -> None:
        """Try the hops that lead from a visited frame to the far targets."""
        for target in (t for t, starts in self.targets.items() if frame in starts):
            found = extend(self._flows, state, frame, target, self._threshold_px)
            if target in self._best:
                found = choose(np.asarray(found.cost < self._best[target].cost), found, self._best[target])
            self._best[target] = found

    def found(self) -> Iterator[tuple[int, ChainState]]:
        """(target, state) of every far target that was reached, in order."""
        yield from sorted(self._best.items(), key=lambda item: item[0])

    def _admit(self, start: int, target: int) -> None:
        starts = self.targets.get(target)
        if starts is None:
            apart = all(abs(target - other) >= SPACING for other in self.targets)
            if apart and len(self.targets) < MOST_TARGETS:
                self.targets[target] = [start]
        elif len(starts) < MOST_STARTS:
            starts.append(start)
