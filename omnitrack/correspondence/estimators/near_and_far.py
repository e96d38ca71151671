"""Two estimators for one clip: one for frames close together, and one for frames far apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair, PairEstimator
from omnitrack.correspondence.photometric import has_lower_error
from omnitrack.units import raster_scale

SIGMA_PX = 2.0  # of the Gaussian window in which two flows are compared, at 256 x 256


class NearAndFar:
    """One estimator for small gaps, another for large gaps: alone, or at the pixels where it has the lower error.

    The error is the photometric error around a pixel between the source and the target warped by the flow. A far
    estimator that gives a confidence of its own, as tracks do, is always taken: it accounts for occlusion.

    Args:
        near: For gaps below `far_gap`.
        far: For gaps of `far_gap` and more.
        far_gap: Smallest gap of the far estimator, in frames.
        clip: The clip whose frames are compared; None takes the far estimator alone.
    """

    def __init__(self, near: PairEstimator, far: PairEstimator, far_gap: int, clip: Clip | None = None) -> None:
        self._near, self._far, self._far_gap, self._clip = near, far, far_gap, clip
        self.batch_pairs = max(near.batch_pairs, far.batch_pairs)
        self.concurrent = near.concurrent and far.concurrent

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        is_far = [abs(target - source) >= self._far_gap for source, target in pairs]
        found = self._estimates(self._far, pairs, initial, [row for row, far in enumerate(is_far) if far])
        judged = [row for row, far in found.items() if self._clip is not None and far.confidence is None]
        near_rows = [row for row, far in enumerate(is_far) if not far]
        near = self._estimates(self._near, pairs, initial, sorted([*near_rows, *judged]))
        for row in judged:
            near[row] = self._better(pairs[row], near[row], found[row])
        return [near.get(row) or found[row] for row in range(len(pairs))]

    def _estimates(
        self,
        estimator: PairEstimator,
        pairs: Sequence[Pair],
        initial: Sequence[NDArray[np.float32] | None],
        rows: Sequence[int],
    ) -> dict[int, FlowEstimate]:
        """Return an estimator's flow of the pairs in some rows, by row."""
        if not rows:
            return {}
        found = estimator.estimate_pairs([pairs[row] for row in rows], [initial[row] for row in rows])
        return dict(zip(rows, found, strict=True))

    def _better(self, pair: Pair, near: FlowEstimate, far: FlowEstimate) -> FlowEstimate:
        assert self._clip is not None
        source, target = (self._clip.frame(t) for t in pair)
        sigma = SIGMA_PX * raster_scale(self._clip.size)
        takes = has_lower_error(source, target, far.flow, near.flow, sigma)
        confidence = None if near.confidence is None else np.where(takes, np.float32(1), near.confidence)
        return FlowEstimate(np.where(takes[..., None], far.flow, near.flow), confidence)
