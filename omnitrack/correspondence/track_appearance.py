"""Whether points keep their appearance in other frames: by patches and, if available, by learned features.

Patches show small differences, but are easily misled by rotation and shading; features are not, but are coarse. So a
point matches its query if its patch does, in tint, too, or if its features do with a margin
(tests/benchmarks/HISTORY.md).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.chaining import Rows, Similarity
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.raster import Array

Cue = tuple[Similarity, float]  # a similarity, and the least one that is a match

SURE_MARGIN = 0.1  # cosine similarity above the one at which `filter` trusts features


class TrackAppearance:
    """Compares the appearance of positions in a clip's frames.

    Args:
        patches: Patches of the frames.
        patch_threshold: Least similarity of patches that match.
        features: Features of the frames, if available.
        feature_threshold: Least similarity at which `filter` trusts features.
    """

    def __init__(
        self,
        patches: FramePatches,
        patch_threshold: float,
        features: FrameFeatures | None = None,
        feature_threshold: float = 0.0,
    ) -> None:
        self._patches = patches
        self._patch_threshold = patch_threshold
        self._features = features
        self._feature_threshold = feature_threshold + SURE_MARGIN

    def of(self, frame: int, pixels: Array, first: int = 0) -> PointAppearance:
        """The appearance of points (P, 2) in a frame; this and all other frames are indexed from frame `first`."""
        patches = self._patches.patches(first + frame, pixels)

        def similar(t: int, places: Array, rows: Rows, tint: bool = False) -> Array:
            return self._patches.similarity(patches[rows], first + t, places, tint)

        cues: list[Cue] = [(partial(similar, tint=True), self._patch_threshold)]
        if self._features is not None:
            features, at = self._features, self._features.at(first + frame, pixels)
            cues.append(
                (lambda t, places, rows: features.similarity(at[rows], first + t, places), self._feature_threshold)
            )
        return PointAppearance(similar, cues)

    def texture(self, places: Array, first: int = 0) -> Array:
        """Texture (P, T) at places (P, T, 2) in T frames from frame `first` on.

        See `omnitrack.correspondence.appearance.Patches.texture`.
        """
        frames = range(places.shape[1])
        return np.stack([self._patches.patches(first + t, places[:, t]).texture() for t in frames], 1)


class PointAppearance:
    """The appearance of P points in one frame, to compare other positions with.

    Args:
        patch_similarity: See below.
        cues: Similarities with their thresholds.

    Attributes:
        patch_similarity: Similarity of the patches around other positions to those around the points, tint aside.
    """

    def __init__(self, patch_similarity: Similarity, cues: list[Cue]) -> None:
        self.patch_similarity, self._cues = patch_similarity, cues

    def likeness(self, places: Array) -> Array:
        """How well places (P, T, 2) in frames 0 to T - 1 match the points: (P, T), above zero where they match.

        The margin of the similarity over its threshold, for the cue with the largest margin.
        """
        frames = range(places.shape[1])
        margins = [
            np.stack([similarity(t, places[:, t], slice(None)) for t in frames], 1) - least
            for similarity, least in self._cues
        ]
        return np.asarray(np.maximum.reduce(margins), np.float32)
