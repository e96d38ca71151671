"""Whether points still look like themselves in other frames: by patches and, where there are any, by learned features.

Patches tell small differences, and are easily misled by turning and shading; features are not, but see coarsely. So a
point looks like its query where its patch does, or where its features are sure of it (tests/benchmarks/HISTORY.md).
"""

from __future__ import annotations

import numpy as np

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.chaining import Similarity
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.raster import Array

Cue = tuple[Similarity, float]  # a similarity, and the least one that is alike

SURE_MARGIN = 0.1  # cosine similarity above the one at which `filter` believes features


class TrackAppearance:
    """Compares places of a clip's frames.

    Args:
        patches: Of the frames.
        patch_threshold: Least similarity of patches that are alike.
        features: Of the frames, where there are any.
        feature_threshold: Least similarity at which `filter` believes features.
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
        """What points (P, 2) of a frame look like there; this and all other frames are counted from frame `first`."""
        patches = self._patches.patches(first + frame, pixels)
        cues: list[Cue] = [
            (lambda t, places, rows: self._patches.similarity(patches[rows], first + t, places), self._patch_threshold)
        ]
        if self._features is not None:
            features, at = self._features, self._features.at(first + frame, pixels)
            cues.append(
                (lambda t, places, rows: features.similarity(at[rows], first + t, places), self._feature_threshold)
            )
        return PointAppearance(cues)

    def texture(self, places: Array, first: int = 0) -> Array:
        """How much the frames vary at places (P, T, 2) of T frames from frame `first` on: (P, T).

        See `omnitrack.correspondence.appearance.Patches.texture`.
        """
        frames = range(places.shape[1])
        return np.stack([self._patches.patches(first + t, places[:, t]).texture() for t in frames], 1)


class PointAppearance:
    """What P points look like in one frame, to compare other places with.

    Args:
        cues: The first is that of patches.

    Attributes:
        patch_similarity: Of the patches around other places with those around the points.
    """

    def __init__(self, cues: list[Cue]) -> None:
        self._cues = cues
        self.patch_similarity = cues[0][0]

    def likeness(self, places: Array) -> Array:
        """How far places (P, T, 2) in frames 0 to T - 1 look like the points: (P, T), above zero where alike.

        By how much the similarity is over the least one that is alike, of the cue that says the most.
        """
        frames = range(places.shape[1])
        margins = [
            np.stack([similarity(t, places[:, t], slice(None)) for t in frames], 1) - least
            for similarity, least in self._cues
        ]
        return np.asarray(np.maximum.reduce(margins), np.float32)
