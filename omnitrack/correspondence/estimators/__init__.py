"""Optical flow estimators by name: the built-in ones and those that installed packages offer.

A package offers one through an entry point of the group ``omnitrack.flow_estimators``: its name is what the user
types, its object is called with the project's `FlowSettings` and returns a `FlowEstimator`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.errors import OmnitrackError
from omnitrack.settings import FlowSettings

ENTRY_POINTS = "omnitrack.flow_estimators"


@runtime_checkable
class FlowEstimator(Protocol):
    """Optical flow of one pair of frames; called from several threads at once."""

    def estimate(
        self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Estimate where every pixel of one frame is in another.

        Convention:
            Displacements (x, y) in pixels: source pixel p is at p + flow[p] in the target.

        Args:
            source: (H, W, 3) uint8 RGB.
            target: (H, W, 3) uint8 RGB.
            initial: (H, W, 2) a guess to start from, which an estimator may ignore; it must not be written to.

        Returns:
            (H, W, 2) float32, all finite. The same arguments give the same flow.
        """


BUILT_IN: dict[str, Callable[[FlowSettings], FlowEstimator]] = {"dis": lambda settings: DisEstimator(settings.dis)}


def get_estimator(name: str, settings: FlowSettings) -> FlowEstimator:
    """Make the flow estimator of that name.

    Raises:
        OmnitrackError: No such estimator, or a plug-in that cannot be loaded.
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


def _load(entry: EntryPoint, settings: FlowSettings) -> FlowEstimator:
    try:
        estimator = entry.load()(settings)
    except OmnitrackError:
        raise
    except Exception as error:  # a plug-in can fail in any way; its name is what the user needs
        raise OmnitrackError(
            f"the flow estimator {entry.name!r} ({entry.value}) cannot be loaded: {error}",
            "repair or remove the package that offers it, or use --estimator dis",
        ) from error
    if not isinstance(estimator, FlowEstimator):
        raise OmnitrackError(
            f"the flow estimator {entry.name!r} ({entry.value}) has no method estimate",
            "repair or remove the package that offers it, or use --estimator dis",
        )
    return estimator
