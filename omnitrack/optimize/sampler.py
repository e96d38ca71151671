"""Samplers of the correspondences that a step is fitted to: their common interface, and the choice among them."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from omnitrack.errors import OmnitrackError
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.moment import Moment, Plan
from omnitrack.optimize.pair_sampler import PairSampler
from omnitrack.optimize.region_sampler import RegionSampler
from omnitrack.settings import FitSettings


class Sampler(Protocol):
    """Draws batches on the device, without a host synchronisation.

    Attributes:
        error: (S, R) running error of each region of each source, in pixels at 256 x 256. It is the only state of a
            sampler that changes in a run: a checkpoint saves it, and it is restored in place.
    """

    error: Tensor

    def plan(self, progress: float) -> Plan:
        """The schedules of a draw at a progress of the run, 0 to 1."""
        ...

    def draw(self, moment: Moment, generator: torch.Generator) -> Batch:
        """Draw a batch.

        Args:
            moment: Current moment of the run, by the plan.
            generator: Source of all randomness, on the device.
        """
        ...

    def update(self, batch: Batch, errors: Tensor) -> None:
        """Record the errors (B,) of the anchors of a batch, in pixels at 256 x 256."""
        ...


SAMPLERS: dict[str, type[RegionSampler] | type[PairSampler]] = {"regions": RegionSampler, "pairs": PairSampler}


def make_sampler(data: Correspondences, settings: FitSettings, extras: Extras) -> Sampler:
    """Make the sampler that `settings.sampler` names.

    Args:
        data: Correspondences to draw from.
        settings: Settings of the fit.
        extras: What a batch contains in addition to correspondences.

    Raises:
        OmnitrackError: There is nothing to draw from.
    """
    if not bool((data.confidence > 0).any()):
        reach = f" over at most {settings.longest_gap} frames" if settings.longest_gap else ""
        raise OmnitrackError(f"no correspondence{reach} is trusted", "allow longer ones: --set fit.longest_gap=0")
    return SAMPLERS[settings.sampler](data, settings, extras)
