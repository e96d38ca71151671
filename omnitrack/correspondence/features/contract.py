"""What makes learned features of frames, and how a map of features lies over its frame.

Convention:
    Cell (r, c) of a map (h, w, C) of a frame (H, W) is centred at pixel ((c + 0.5) * W / w - 0.5,
    (r + 0.5) * H / h - 0.5): the map covers the frame exactly, whatever the network resized it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

ONNX_SUFFIX = ".onnx"  # of a file of weights that is a whole network
UNIT_TOLERANCE = 0.01  # of a vector's length
PUBLISHED_THRESHOLD = 0.5  # OmniMotion, with DINO; for features that were not calibrated here


@runtime_checkable
class FeatureExtractor(Protocol):
    """Dense features of single frames.

    Attributes:
        name: What the user calls it.
        identity: What decides its features besides the settings: a checksum of its weights, for stamps. To be had
            without loading or downloading them.
        threshold: Least cosine similarity of the two ends of a right correspondence: what the appearance check uses
            where the user says nothing.
        batch_frames: Frames that it likes to be given at once.
    """

    name: str
    identity: str
    threshold: float
    batch_frames: int

    def extract(self, frames: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        """Features of frames (H, W, 3) uint8 RGB of one size; the weights are loaded by the first call.

        Returns:
            One map (h, w, C) float32 per frame, all of one shape. Every vector has unit length, or is 0 where nothing
            can be said. The map of a frame does not depend on the other frames.
        """


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors (..., C) divided by their lengths; those of length 0 stay."""
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.asarray(features / np.maximum(length, np.finfo(np.float32).tiny), np.float32)


def check_features(features: NDArray[np.float32]) -> str:
    """What is wrong with a map that an extractor returned; empty where nothing is."""
    if features.ndim != 3 or 0 in features.shape:
        return f"returned features of shape {features.shape}, not (h, w, C)"
    bad = ~np.isfinite(features).all(-1)
    if bad.any():
        return f"returned features that are not finite (NaN) in {int(bad.sum())} of {bad.size} cells"
    length = np.linalg.norm(features, axis=-1)
    if ((abs(length - 1) > UNIT_TOLERANCE) & (length > 0)).any():
        return f"returned features of length {length.min():.3g} to {length.max():.3g}, not 1"
    return ""
