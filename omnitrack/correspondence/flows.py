"""Sources of pairwise flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from omnitrack.correspondence.estimators.contract import FlowEstimate, PairEstimator
from omnitrack.correspondence.raster import Array, sample


class FlowSource(Protocol):
    """Pairwise flow by frame indices; `omnitrack.project.store.FlowStore` is one.

    Convention:
        Flow is a displacement (x, y) in pixels, x right, y down: pixel p of `source` is at p + flow[p] in `target`.

    Attributes:
        size: (width, height) of every flow in pixels.

    Example:
        >>> import numpy as np
        >>> class Still(FlowSource):
        ...     size = (8, 4)
        ...     def has(self, source, target):
        ...         return True
        ...     def flow(self, source, target):
        ...         return np.zeros((4, 8, 2), np.float32)
        >>> flows = Still()
        >>> flows.flow(0, 5).shape, flows.confidence(0, 5), flows.partners(0)
        ((4, 8, 2), None, ())
    """

    size: tuple[int, int]

    def has(self, source: int, target: int) -> bool:
        """Whether the flow from `source` to `target` is available."""

    def flow(self, source: int, target: int) -> Array:
        """(H, W, 2) float32 displacement in pixels from `source` to `target`."""

    def confidence(self, source: int, target: int) -> Array | None:
        """(H, W) float32 in [0, 1]: the estimator's confidence in that flow; None if it gives none."""
        return None

    def flow_at(self, source: int, target: int, pixels: Array) -> Array:
        """(P, 2) the flow from `source` to `target` at pixels (P, 2); see `omnitrack.correspondence.raster.sample`.

        The same as sampling `flow`; a source that stores flow in another form decodes less of it for a few pixels.
        """
        return sample(self.flow(source, target), pixels)

    def confidence_at(self, source: int, target: int, pixels: Array) -> Array | None:
        """(P,) the estimator's confidence in that flow at pixels (P, 2); None if it gives none."""
        confidence = self.confidence(source, target)
        return None if confidence is None else sample(confidence, pixels)

    def doubt(self, source: int, target: int) -> Array | None:
        """(rows, columns) float32 log-odds that this flow is wrong, on a `CoarseGrid`; None if not judged."""
        return None

    def partners(self, frame: int) -> Sequence[int]:
        """Frames chosen as partners of this one, in both directions and at any distance, in order; keyframes have some.

        Chains use hops between partners in addition to hops of the given lengths.
        """
        return ()


class FlowsWithin(FlowSource):
    """The flow of some consecutive frames as if they were a clip of their own: the first of them is frame 0.

    Args:
        flows: Flow of the whole clip.
        frames: The frames, for example those of a shot.
    """

    def __init__(self, flows: FlowSource, frames: range) -> None:
        self._flows, self._frames = flows, frames
        self.size = flows.size

    def has(self, source: int, target: int) -> bool:
        count = len(self._frames)
        inside = 0 <= source < count and 0 <= target < count
        return inside and self._flows.has(self._frames[source], self._frames[target])

    def flow(self, source: int, target: int) -> Array:
        return self._flows.flow(self._frames[source], self._frames[target])

    def confidence(self, source: int, target: int) -> Array | None:
        return self._flows.confidence(self._frames[source], self._frames[target])

    def flow_at(self, source: int, target: int, pixels: Array) -> Array:
        return self._flows.flow_at(self._frames[source], self._frames[target], pixels)

    def confidence_at(self, source: int, target: int, pixels: Array) -> Array | None:
        return self._flows.confidence_at(self._frames[source], self._frames[target], pixels)

    def doubt(self, source: int, target: int) -> Array | None:
        return self._flows.doubt(self._frames[source], self._frames[target])

    def partners(self, frame: int) -> Sequence[int]:
        there = self._flows.partners(self._frames[frame])
        return [target - self._frames.start for target in there if target in self._frames]


class OnDemandFlows(FlowSource):
    """Flow for any pair of frames, computed on demand; used by the `direct` baseline.

    Args:
        estimator: Computes the flow of a pair.
        size: (width, height) of the frames in pixels.
    """

    def __init__(self, estimator: PairEstimator, size: tuple[int, int]) -> None:
        self._estimator = estimator
        self.size = size
        self._nearest: dict[tuple[int, bool], tuple[int, FlowEstimate]] = {}

    def has(self, source: int, target: int) -> bool:
        return source != target

    def flow(self, source: int, target: int) -> Array:
        """(H, W, 2) flow, initialised with the last flow of this source and direction if it is of a nearer target."""
        return self._estimate(source, target).flow

    def confidence(self, source: int, target: int) -> Array | None:
        return self._estimate(source, target).confidence

    def _estimate(self, source: int, target: int) -> FlowEstimate:
        side = (source, target > source)
        last = self._nearest.get(side)
        if last is None or last[0] != target:
            nearer = last is not None and abs(last[0] - source) < abs(target - source)
            initial = last[1].flow if last is not None and nearer else None
            last = target, self._estimator.estimate_pairs([(source, target)], [initial])[0]
            self._nearest[side] = last
        return last[1]
