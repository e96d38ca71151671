"""The default choice of what corrects the flow of a clip, made without importing torch."""

from __future__ import annotations

from omnitrack.correspondence.features import NONE
from omnitrack.settings import AUTO_DESCRIPTORS, FEATURES, NO_DESCRIPTORS, PATCHES, FlowSettings

AXES = "discriminant"  # part of the stamp: flow corrected along other axes is recomputed
LARGE_SIDE = 360  # pixels; frames with a shorter side below this are small
TELLING = ("dinov2",)  # extractors whose features are known to distinguish right flow from wrong


def descriptor_network(settings: FlowSettings, size: tuple[int, int], extractor: str = NONE) -> str:
    """Return what corrects the flow of frames of a size (width, height).

    By default, features of a `TELLING` extractor correct the flow of dense inverse search. Without them, patches
    correct it in small frames, which are hard for it: patches improve tracks at 256 x 256, but not at 854 x 480. The
    flow of other estimators is not corrected by default.
    """
    if settings.descriptors.network != AUTO_DESCRIPTORS:
        return settings.descriptors.network
    if settings.estimator != "dis":
        return NO_DESCRIPTORS
    if extractor in TELLING:
        return FEATURES
    return PATCHES if min(size) < LARGE_SIDE else NO_DESCRIPTORS
