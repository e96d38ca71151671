"""An estimator whose flow follows its surroundings in areas without texture."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.blank_areas import BlankAreas
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair, PairEstimator

KEPT_FRAMES = 4  # in the cache: several threads call this, each with many pairs of one frame
LEAST_SIDE = 16  # pixels; in smaller frames flow is unchanged


class WithSurroundings:
    """Another estimator's flow, with that of blank areas replaced by `BlankAreas`; a `PairEstimator`.

    Flow with a confidence of its own, such as flow from tracks, is unchanged. The search for a farther frame starts
    from the measured flow: from the replaced flow, it could not find that a blank area moves unlike its surroundings.

    Args:
        estimator: The estimator whose flow is changed.
        clip: The video.
    """

    def __init__(self, estimator: PairEstimator, clip: Clip) -> None:
        self._estimator = estimator
        self._shape = (clip.size[1], clip.size[0], 2)
        self.batch_pairs, self.concurrent = estimator.batch_pairs, estimator.concurrent
        self._areas = lru_cache(KEPT_FRAMES)(lambda frame: BlankAreas(clip.frame(frame)))

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        """Estimate the flow of pairs of frames; see `PairEstimator`."""
        found = self._estimator.estimate_pairs(pairs, initial)
        return [self._followed(pair, estimate) for pair, estimate in zip(pairs, found, strict=True)]

    def _followed(self, pair: Pair, estimate: FlowEstimate) -> FlowEstimate:
        if estimate.confidence is not None or min(self._shape[:2]) < LEAST_SIDE or not self._is_sound(estimate.flow):
            return estimate
        flow = np.asarray(estimate.flow, np.float32)
        return FlowEstimate(self._areas(pair[0]).follow(flow), measured=flow)

    def _is_sound(self, flow: NDArray[np.float32]) -> bool:
        """Return whether this is valid flow; the stage reports invalid flow of a plug-in."""
        return np.shape(flow) == self._shape and bool(np.isfinite(flow).all())
