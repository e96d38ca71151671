"""Frame pairs and points of them, as OmniMotion draws them, on the device and without a host synchronisation.

What differs from the published code:

- Errors are running means by region of the anchors that are drawn anyway (`RegionErrors`), not of dense flow that is
  predicted anew every 20,000 steps.
- Points are drawn with replacement: of 256 among 16,384 about two come twice.
- Whether a point is drawn by the error or evenly is chosen for each point; published: as many of both, and then half
  of all these at random.
- The published roles of source and target are swapped at random. Here both directions of a pair are in the data.
- A pair in which nothing is believed is not drawn; published: drawn for its colours alone.

Source:
    OmniMotion (ICCV 2023), section 4.3 and its supplement; intervals and weights from the published loader.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from omnitrack.optimize.batch import NO_EXTRAS, Batch, Extras, draw_in_proportion, gather_batch
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.moment import Moment, Plan
from omnitrack.optimize.regions import RegionErrors
from omnitrack.optimize.schedule import max_interval
from omnitrack.settings import FitSettings

HARD_FROM = 20_000 / 100_000  # of the run: frames and points are drawn by their errors from here on
ADJACENT_WEIGHT = 0.5  # of each adjacent frame, beside 1 of all others: half of the mass, a third at the clip's ends


class PairSampler:
    """Draws frame pairs, and as many believed points of each; every anchor has one target, the other frame.

    Sources are even at first, then in proportion to their error; targets are near and agree in many points; points
    are those that few other pairs cover at first, then partly those whose region fits badly. With a hard share of
    zero, sources and points are even throughout, the paper's ablation "uniform sampling".

    Args:
        data: What to draw from: at least one correspondence.
        settings: Reads `pairs`, `anchors` (those of all pairs together, what does not divide is left out), `regions`
            and `hard_share`, the share of the points that follows the error from `HARD_FROM` on.
        extras: What the losses read beside correspondences.
    """

    def __init__(self, data: Correspondences, settings: FitSettings, extras: Extras = NO_EXTRAS) -> None:
        self.data = data
        self._pairs = min(settings.pairs, settings.anchors)
        self._points = settings.anchors // self._pairs
        self._hard_share, self._extras = settings.hard_share, extras
        valid = (data.confidence > 0) & (data.targets >= 0)[..., None]  # (S, K, P)
        num_valid = valid.sum(1)  # (S, P)
        self._rareness = 1 / torch.sqrt(num_valid.float() + 1)
        self._pair_counts = valid.sum(2).float()  # (S, K)
        self._gaps = (data.targets - data.sources[:, None]).abs()
        self._shortest_gap = int(self._gaps[self._pair_counts > 0].min())
        self._regions = RegionErrors(data, num_valid, settings.regions)
        self.error = self._regions.error

    def plan(self, progress: float) -> Plan:
        """See `omnitrack.optimize.sampler.Sampler.plan`: the longest pair, and whether errors decide."""
        interval = max(max_interval(progress, self.data.num_frames), self._shortest_gap)  # there is always a pair
        return Plan({"mining": self._hard_share > 0 and progress >= HARD_FROM}, {"interval": interval})

    def draw(self, moment: Moment, generator: torch.Generator) -> Batch:
        """See `omnitrack.optimize.sampler.Sampler.draw`; a pair's distance weighs the confidence of its points."""
        interval, mining = moment.values["interval"], bool(moment.stage["mining"])
        uniform = torch.rand(
            self._pairs, 2 + self._points, generator=generator, device=self.error.device, dtype=torch.float64
        )
        targets = self._target_weights(interval)
        source = draw_in_proportion(self._source_weights(targets, mining), uniform[:, 0])
        slot = draw_in_proportion(targets[source], uniform[:, 1:2])  # (pairs, 1)
        point = draw_in_proportion(self._point_weights(source, slot[:, 0], mining), uniform[:, 2:])  # (pairs, points)

        source, slot = source[:, None].expand_as(point).flatten(), slot.expand_as(point).flatten()
        point = point.flatten()
        cells = source * self.error.shape[1] + self._regions.region_of_point[point]
        batch = gather_batch(self.data, source, slot[:, None], point, cells, self._extras, generator)
        gap = (batch.target_frames - batch.source_frames[:, None]).abs()
        return replace(batch, confidence=batch.confidence * torch.cos((gap - 1) / interval * (math.pi / 2)))

    def update(self, batch: Batch, errors: Tensor) -> None:
        """See `omnitrack.optimize.sampler.Sampler.update`."""
        self._regions.update(batch.cells, errors)

    def _target_weights(self, interval: Tensor) -> Tensor:
        """(S, K) weight of each target among those of its source: its share of their believed points, if it is near."""
        near = self._pair_counts * (self._gaps <= interval)
        weights = near / near.sum(1, keepdim=True).clamp_min(1)
        return torch.where((self._gaps == 1) & (near > 0), ADJACENT_WEIGHT, weights)

    def _source_weights(self, targets: Tensor, mining: bool) -> Tensor:
        """(S,) weight of each source, zero where it has no target."""
        possible = (targets.sum(1) > 0).float()
        return possible * self._regions.frame_errors().clamp_min(1e-12) if mining else possible

    def _point_weights(self, source: Tensor, slot: Tensor, mining: bool) -> Tensor:
        """(L, P) weight of each point in L pairs, zero where it is not believed."""
        even = (self.data.confidence[source, slot] > 0).float()
        if self._hard_share == 0:
            return even
        if not mining:
            return even * self._rareness[source]
        hard = even * self.error[source][:, self._regions.region_of_point]
        return (1 - self._hard_share) * _normalised(even) + self._hard_share * _normalised(hard)


def _normalised(weights: Tensor) -> Tensor:
    """Rows that sum to one."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
