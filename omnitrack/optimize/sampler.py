"""Which correspondences a step is fitted to: the samplers' common interface, and the choice among them."""

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
        error: (S, R) running error of each region of each source, in pixels at 256 x 256. All that a sampler learns
            in a run: a checkpoint saves it, and writes it back in place.
    """

    error: Tensor

    def plan(self, progress: float) -> Plan:
        """What a draw goes by at a progress of the run, 0 to 1."""
        ...

    def draw(self, moment: Moment, generator: torch.Generator) -> Batch:
        """Draw a batch.

        Args:
            moment: By the plan.
            generator: Source of all randomness, on the device.
        """
        ...

    def update(self, batch: Batch, errors: Tensor) -> None:
        """Record the errors (B,) that the anchors of a batch had, in pixels at 256 x 256."""
        ...


SAMPLERS: dict[str, type[RegionSampler] | type[PairSampler]] = {"regions": RegionSampler, "pairs": PairSampler}


def make_sampler(data: Correspondences, settings: FitSettings, extras: Extras) -> Sampler:
    """The sampler that `settings.sampler` names.

    Args:
        data: What to draw from.
        settings: How.
        extras: What a batch has beside correspondences.

    Raises:
        OmnitrackError: There is nothing to draw from.
    """
    if not bool((data.confidence > 0).any()):
        reach = f" over at most {settings.longest_gap} frames" if settings.longest_gap else ""
        raise OmnitrackError(f"no correspondence{reach} is believed", "allow longer ones: --set fit.longest_gap=0")
    return SAMPLERS[settings.sampler](data, settings, extras)
