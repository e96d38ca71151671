"""An estimator whose flow is corrected by descriptors: colour patches, alone or with features, or learned ones."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from omnitrack.correspondence.descriptors.alike import PUBLISHED, AlikeDescriber, load_alike
from omnitrack.correspondence.descriptors.feature_maps import FeatureMaps
from omnitrack.correspondence.descriptors.maps import FEATURES_SHARE, ClipDescriptors, Describer
from omnitrack.correspondence.descriptors.patches import PatchDescriber
from omnitrack.correspondence.descriptors.search import DescriptorSearch
from omnitrack.correspondence.descriptors.two_views import two_views
from omnitrack.correspondence.estimators.contract import Clip, FlowEstimate, Pair, PairEstimator
from omnitrack.device import cpu_threads
from omnitrack.errors import OmnitrackError
from omnitrack.memory import cache_bytes
from omnitrack.settings import ALIKE, FEATURES, DescriptorSettings
from omnitrack.weights import locate


class Corrected:
    """Another estimator's flow, corrected by a search among descriptors around it; a `PairEstimator`.

    Flow with a confidence of its own, such as flow from tracks, is not corrected: its estimator accounts for occlusion.
    Nor is flow over less than `least_gap` frames.

    Args:
        estimator: The estimator whose flow is corrected.
        settings: Which descriptors are used, and how they are searched.
        clip: The video.
        cached_bytes: Memory for descriptors; None: as much as the clip's limit allows.

    Raises:
        OmnitrackError: No such weights, a failed download, a file that is not ALIKE's, or a clip without features
            if the settings select features.
    """

    def __init__(
        self, estimator: PairEstimator, settings: DescriptorSettings, clip: Clip, cached_bytes: int | None = None
    ) -> None:
        self._estimator = estimator
        self._least_gap, self._shape = settings.least_gap, (clip.size[1], clip.size[0], 2)
        self.batch_pairs, self.concurrent = estimator.batch_pairs, estimator.concurrent
        features = _features(settings, clip)
        self._descriptors = ClipDescriptors(
            _describer(settings, clip),
            clip.frame,
            partial(two_views, self._measured, clip.num_frames, clip.size),
            clip.size,
            settings.side,
            cache_bytes(clip.memory_gb) if cached_bytes is None else cached_bytes,
            clip.device,
            features,
        )
        self._search = DescriptorSearch(
            clip.size,
            self._descriptors.map_size,
            settings.grid_points,
            settings.reach_px,
            settings.margin if features is None else settings.margin * (1 - FEATURES_SHARE),
            clip.device,
        )

    def estimate_pairs(
        self, pairs: Sequence[Pair], initial: Sequence[NDArray[np.float32] | None]
    ) -> list[FlowEstimate]:
        """Estimate the flow of pairs of frames; see `PairEstimator`."""
        found = self._estimator.estimate_pairs(pairs, initial)
        return [self._corrected(pair, estimate) for pair, estimate in zip(pairs, found, strict=True)]

    @torch.inference_mode()
    def _corrected(self, pair: Pair, estimate: FlowEstimate) -> FlowEstimate:
        near = abs(pair[1] - pair[0]) < self._least_gap
        if near or estimate.confidence is not None or not self._is_sound(estimate.flow):
            return estimate
        source, target = (self._descriptors.of(frame) for frame in pair)
        with cpu_threads(1):  # called from as many threads as there are cores
            return FlowEstimate(self._search.correct(source, target, estimate.flow))

    def _measured(self, source: int, target: int) -> NDArray[np.float32]:
        """Return the flow of a pair as the estimator measures it; NaN if it is invalid."""
        flow = self._estimator.estimate_pairs([(source, target)], [None])[0].flow
        return flow if self._is_sound(flow) else np.full(self._shape, np.nan, np.float32)

    def _is_sound(self, flow: NDArray[np.float32]) -> bool:
        """Return whether this is valid flow; the stage reports invalid flow of a plug-in."""
        return np.shape(flow) == self._shape and bool(np.isfinite(flow).all())


def _describer(settings: DescriptorSettings, clip: Clip) -> Describer:
    if settings.network != ALIKE:
        return PatchDescriber(clip.device)
    path = locate(settings.weights, PUBLISHED, clip.progress, setting="flow.descriptors.weights")
    return AlikeDescriber(load_alike(path).to(clip.device))


def _features(settings: DescriptorSettings, clip: Clip) -> FeatureMaps | None:
    if settings.network != FEATURES:
        return None
    if clip.features is None:
        raise OmnitrackError(
            f"flow.descriptors.network={FEATURES}: there are no features to compare",
            "name what extracts them: --set features.extractor=dinov2",
        )
    return FeatureMaps(clip.features, clip.num_frames, clip.device)
