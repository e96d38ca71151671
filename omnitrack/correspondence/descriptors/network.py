"""What corrects the flow of a clip where nobody says; known without waiting for torch."""

from __future__ import annotations

from omnitrack.correspondence.features import NONE
from omnitrack.settings import AUTO_DESCRIPTORS, FEATURES, NO_DESCRIPTORS, PATCHES, FlowSettings

LARGE_SIDE = 360  # pixels of the shorter side from which on frames are not small
TELLING = ("dinov2",)  # extractors whose features are known to tell right flow from wrong


def descriptor_network(settings: FlowSettings, size: tuple[int, int], extractor: str = NONE) -> str:
    """What corrects the flow of frames of a size (width, height).

    Where nobody says, it is for dense inverse search features, where these are telling, or else patches in small
    frames, which are hard for it: by patches tracks gain at 256 x 256, and nothing at 854 x 480. Other estimators know
    what they say.
    """
    if settings.descriptors.network != AUTO_DESCRIPTORS:
        return settings.descriptors.network
    if settings.estimator != "dis":
        return NO_DESCRIPTORS
    if extractor in TELLING:
        return FEATURES
    return PATCHES if min(size) < LARGE_SIDE else NO_DESCRIPTORS
