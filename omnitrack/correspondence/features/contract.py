"""The contract of extractors of learned features, and the alignment of a feature map with its frame.

Convention:
    Cell (r, c) of a map (h, w, C) of a frame (H, W) is centred at pixel ((c + 0.5) * W / w - 0.5,
    (r + 0.5) * H / h - 0.5): the map covers the frame exactly, at any input size of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ONNX_SUFFIX = ".onnx"  # of a file of weights that contains the whole network
UNIT_TOLERANCE = 0.01  # of a vector's length
PUBLISHED_THRESHOLD = 0.5  # OmniMotion's, for DINO; used for features that were not calibrated here


@runtime_checkable
class FeatureExtractor(Protocol):
    """Dense features of single frames.

    Attributes:
        name: Name in the settings.
        identity: What determines its features in addition to the settings: a checksum of its weights, for stamps.
            Available without loading or downloading them.
        threshold: Lowest cosine similarity of the two ends of a correct correspondence: the default of the appearance
            check.
        batch_frames: Preferred number of frames per call.
    """

    name: str
    identity: str
    threshold: float
    batch_frames: int

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Extract features of frames (H, W, 3) uint8 RGB of one size; the first call loads the weights.

        Returns:
            One map (h, w, C) float32 per frame, all of one shape. Every vector has unit length, or is 0 where there is
            no feature. The map of a frame does not depend on the other frames.
        """


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide vectors (..., C) by their lengths; vectors of length 0 are unchanged."""
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(length, np.finfo(np.float32).tiny), np.float32)


def check_features(features: NDArray[np.float32]) -> str:
    """Return what is wrong with a map that an extractor returned; empty if nothing is."""
    if features.ndim != 3 or 0 in features.shape:
        return f"returned features of shape {features.shape}, not (h, w, C)"
    bad = ~np.isfinite(features).all(-1)
    if bad.any():
        return f"returned features that are not finite (NaN) in {int(bad.sum())} of {bad.size} cells"
    length = np.linalg.norm(features, axis=-1)
    if ((abs(length - 1) > UNIT_TOLERANCE) & (length > 0)).any():
        return f"returned features of length {length.min():.3g} to {length.max():.3g}, not 1"
    return ""
