"""What corrects the flow of a clip, chosen without importing torch."""

from __future__ import annotations

from omnitrack.correspondence.features import NONE
from omnitrack.settings import AUTO_DESCRIPTORS, FEATURES, NO_DESCRIPTORS, PATCHES, FlowSettings

AXES = "discriminant"  # part of the stamp: flow corrected along other axes is recomputed
TELLING = ("dinov2",)  # extractors whose features are known to distinguish right flow from wrong


def descriptor_network(settings: FlowSettings, extractor: str = NONE) -> str:
    """Return what corrects the flow of a clip.

    By default, features of a `TELLING` extractor, or else patches alone, correct the flow of dense inverse search. The
    flow of other estimators is not corrected by default.
    """
    if settings.descriptors.network != AUTO_DESCRIPTORS:
        return settings.descriptors.network
    if settings.estimator != "dis":
        return NO_DESCRIPTORS
    return FEATURES if extractor in TELLING else PATCHES


def searches(network: str) -> tuple[str, ...]:
    """Return the descriptors whose searches correct the flow, one after the other.

    Features decide between similar objects, but are too coarse for single pixels: after them, patches search alone.
    """
    if network == NO_DESCRIPTORS:
        return ()
    return (FEATURES, PATCHES) if network == FEATURES else (network,)
