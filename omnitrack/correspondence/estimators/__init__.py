"""Optical flow estimators by name: the built-in ones and those of installed packages.

A package offers an estimator through an entry point of the group ``omnitrack.flow_estimators``. The user types the
entry point's name; its object is called with the project's `FlowSettings` and returns a `FlowEstimator`, or a
`ClipEstimator` if it needs the indices of the frames.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points

from omnitrack.correspondence.descriptors.network import descriptor_network, searches
from omnitrack.correspondence.estimators.contract import (
    Clip,
    ClipEstimator,
    FlowEstimator,
    OneByOne,
    PairEstimator,
)
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.estimators.near_and_far import NearAndFar
from omnitrack.correspondence.estimators.surroundings import WithSurroundings
from omnitrack.correspondence.estimators.tracks import TracksEstimator, tracks_identity
from omnitrack.errors import OmnitrackError
from omnitrack.memory import cache_bytes
from omnitrack.settings import ALIKE, LOOKS, FlowSettings
from omnitrack.weights import identity

ENTRY_POINTS = "omnitrack.flow_estimators"


AnyEstimator = FlowEstimator | ClipEstimator


def _raft(settings: FlowSettings) -> AnyEstimator:
    from omnitrack.correspondence.estimators.raft import RaftEstimator  # only what needs torch imports it

    return RaftEstimator(settings.raft)


BUILT_IN: dict[str, Callable[[FlowSettings], AnyEstimator]] = {
    "dis": lambda settings: DisEstimator(settings.dis),
    "raft": _raft,
    "tracks": lambda settings: TracksEstimator(settings.tracks),
}


def open_estimator(settings: FlowSettings, clip: Clip) -> PairEstimator:
    """Open the estimator that the settings name, or those for near and far frames, with its corrections, for a clip.

    Raises:
        OmnitrackError: No such estimator, or one that cannot be loaded or does not fit this clip.
    """
    estimator = _open(settings.estimator, settings, clip)
    if settings.far_estimator:
        far = _open(settings.far_estimator, settings, clip)
        judged_in = clip if settings.far_choice == LOOKS else None
        estimator = NearAndFar(estimator, far, settings.far_gap, judged_in)
    networks = searches(descriptor_network(settings))
    if networks:
        from omnitrack.correspondence.estimators.corrected import Corrected

        cached = cache_bytes(clip.memory_gb) // len(networks)
        for network in networks:
            estimator = Corrected(estimator, replace(settings.descriptors, network=network), clip, cached)
    return WithSurroundings(estimator, clip) if settings.surroundings else estimator


def weights_identity(settings: FlowSettings) -> dict[str, str]:
    """Return checksums of the files, other than the frames, from which the estimators in use compute the flow."""
    used, found = (settings.estimator, settings.far_estimator), {}
    if "raft" in used:
        from omnitrack.correspondence.raft.checkpoints import PUBLISHED

        found["raft_weights"] = identity(settings.raft.weights, PUBLISHED)
    if "tracks" in used:
        found["tracks"] = tracks_identity(settings.tracks.path)
    if settings.descriptors.network == ALIKE:
        from omnitrack.correspondence.descriptors import alike

        found["descriptor_weights"] = identity(settings.descriptors.weights, alike.PUBLISHED)
    return found


def _open(name: str, settings: FlowSettings, clip: Clip) -> PairEstimator:
    estimator = get_estimator(name, settings)
    return estimator.open(clip) if isinstance(estimator, ClipEstimator) else OneByOne(estimator, clip)


def get_estimator(name: str, settings: FlowSettings) -> AnyEstimator:
    """Create the flow estimator with the given name.

    Raises:
        OmnitrackError: No such estimator, or a plug-in that cannot be loaded.

    Example:
        >>> import numpy as np
        >>> frame = np.zeros((48, 64, 3), np.uint8)
        >>> get_estimator("dis", FlowSettings()).estimate(frame, frame).shape
        (48, 64, 2)
    """
    if name in BUILT_IN:
        return BUILT_IN[name](settings)
    plug_ins = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name in plug_ins:
        return _load(plug_ins[name], settings)
    known = sorted(BUILT_IN | plug_ins)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    guess = f"did you mean {close[0]}? " if close else ""
    raise OmnitrackError(
        f"there is no flow estimator {name!r}",
        f"{guess}installed: {', '.join(known)}; packages add more through the entry points {ENTRY_POINTS}",
    )


def _load(entry: EntryPoint, settings: FlowSettings) -> AnyEstimator:
    try:
        estimator = entry.load()(settings)
    except OmnitrackError:
        raise
    except Exception as error:  # a plug-in can fail in any way; its name is what the user needs
        raise OmnitrackError(
            f"the flow estimator {entry.name!r} ({entry.value}) cannot be loaded: {error}",
            "repair or remove the package that offers it, or use --estimator dis",
        ) from error
    if not isinstance(estimator, (FlowEstimator, ClipEstimator)):
        raise OmnitrackError(
            f"the flow estimator {entry.name!r} ({entry.value}) has no method estimate or open",
            "repair or remove the package that offers it, or use --estimator dis",
        )
    return estimator
