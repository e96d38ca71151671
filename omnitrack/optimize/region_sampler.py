"""Hard mining by region: anchors from anywhere in the clip, each with its own targets."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.optimize.batch import NO_EXTRAS, Batch, Extras, draw_in_proportion, gather_batch
from omnitrack.optimize.correspondences import Correspondences, read_at
from omnitrack.optimize.moment import Moment, Plan
from omnitrack.optimize.regions import RegionErrors
from omnitrack.optimize.schedule import active_frames
from omnitrack.settings import FitSettings


class RegionSampler:
    """Draws anchors by the running error of their region, and targets uniformly from each anchor's valid targets.

    One share of the probability is spread evenly over all regions that have correspondences. The other is proportional
    to the error of the last visits, weighted by the confidence of the correspondences, so that a small object that fits
    badly is not outvoted by a large background that fits well. Sources come from a window of frames that grows with the
    run.

    Args:
        data: Correspondences to draw from.
        settings: Uses `anchors`, `targets`, `regions` and `hard_share`, the share that follows the error.
        extras: What the losses read in addition to correspondences.
    """

    def __init__(self, data: Correspondences, settings: FitSettings, extras: Extras = NO_EXTRAS) -> None:
        self.data = data
        self._anchors, self._targets, self._extras = settings.anchors, settings.targets, extras
        self._hard_share = settings.hard_share
        self._num_valid = (data.confidence > 0).sum(1)  # (S, P)
        self._slots = _valid_slots_first(data.confidence)
        self._regions = RegionErrors(data, self._num_valid, settings.regions)
        self.error = self._regions.error

    def plan(self, progress: float) -> Plan:
        """See `omnitrack.optimize.sampler.Sampler.plan`: the window of source frames."""
        first, last = active_frames(progress, self.data.num_frames)
        return Plan(values={"first_frame": first, "last_frame": last})

    def draw(self, moment: Moment, generator: torch.Generator) -> Batch:
        """See `omnitrack.optimize.sampler.Sampler.draw`."""
        regions = self._regions
        cells = self._draw_cells(moment, generator)
        source, region = cells // len(regions.member_counts), cells % len(regions.member_counts)
        uniform = torch.rand(self._anchors, self._targets + 1, generator=generator, device=cells.device)
        member = (uniform[:, 0] * read_at(regions.member_counts, region)).long()
        point = read_at(regions.members, region, member)
        count = read_at(self._num_valid, source, point)
        nth = (uniform[:, 1:] * count[:, None]).long()
        slot = read_at(self._slots, source[:, None], nth, point[:, None]).long()
        return gather_batch(self.data, source, slot, point, cells, self._extras, generator)

    def update(self, batch: Batch, errors: Tensor) -> None:
        """See `omnitrack.optimize.sampler.Sampler.update`; errors are weighted by the confidence."""
        self._regions.update(batch.cells, errors * batch.confidence.mean(-1))

    def _draw_cells(self, moment: Moment, generator: torch.Generator) -> Tensor:
        occupancy = self._regions.occupancy
        even = occupancy * self._active(moment)[:, None]
        even = torch.where(even.sum() > 0, even, occupancy)  # the active frames have no correspondences
        hard = even * self.error
        weights = (1 - self._hard_share) * even / even.sum() + self._hard_share * hard / hard.sum()
        uniform = torch.rand(self._anchors, generator=generator, device=weights.device, dtype=torch.float64)
        return draw_in_proportion(weights.flatten(), uniform)

    def _active(self, moment: Moment) -> Tensor:
        """(S,) one for sources within the window of frames, else zero."""
        sources, window = self.data.sources, moment.values
        return ((sources >= window["first_frame"]) & (sources < window["last_frame"])).float()


def _valid_slots_first(confidence: Tensor) -> Tensor:
    """Targets (S, K, P) of each point, uint8, valid ones first, so that one read gives an anchor's n-th valid target.

    One source is sorted at a time, because sorting takes 20 times the memory of its result.
    """
    slots = torch.empty(confidence.shape, dtype=torch.uint8, device=confidence.device)
    for source, of_source in enumerate(confidence):
        slots[source] = torch.argsort((of_source > 0).to(torch.uint8), dim=0, descending=True, stable=True)
    return slots
