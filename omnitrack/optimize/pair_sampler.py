"""Sampling of frame pairs and their points as in OmniMotion, on the device and without a host synchronisation.

Differences from the published code:

- Errors are running means per region over the anchors that are drawn anyway (`RegionErrors`), not over dense flow that
  is recomputed every 20,000 steps.
- Points are drawn with replacement: of 256 among 16,384, about two are drawn twice.
- Whether a point is drawn by the error or evenly is random for each point; published: the same number of both, and then
  a random half of all these.
- Both directions of a pair are in the data; published: source and target are swapped at random.
- A pair without trusted correspondences is not drawn; published: drawn for its colours alone.

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
ADJACENT_WEIGHT = 0.5  # of each adjacent frame, all others have 1: half of the mass, a third at the clip's ends


class PairSampler:
    """Draws frame pairs, and the same number of trusted points of each; an anchor's only target is the other frame.

    Sources are drawn evenly at first, then in proportion to their error. Targets are near and have many trusted points.
    Points that few other pairs cover are preferred at first, then partly points whose region fits badly. With a hard
    share of zero, sources and points are drawn evenly throughout: the paper's ablation "uniform sampling".

    Args:
        data: Correspondences to draw from, at least one.
        settings: Uses `pairs`, `anchors` (of all pairs together; the remainder is left out), `regions` and
            `hard_share`, the share of the points that follows the error from `HARD_FROM` on.
        extras: What the losses read in addition to correspondences.
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
        """See `omnitrack.optimize.sampler.Sampler.plan`: the longest interval, and whether errors decide."""
        interval = max(max_interval(progress, self.data.num_frames), self._shortest_gap)  # some pair is always near
        return Plan({"mining": self._hard_share > 0 and progress >= HARD_FROM}, {"interval": interval})

    def draw(self, moment: Moment, generator: torch.Generator) -> Batch:
        """See `omnitrack.optimize.sampler.Sampler.draw`; the confidence of points falls with a pair's interval."""
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
        """(S, K) weight of each target of a source: its share of the trusted points of near ones, if it is near."""
        near = self._pair_counts * (self._gaps <= interval)
        weights = near / near.sum(1, keepdim=True).clamp_min(1)
        return torch.where((self._gaps == 1) & (near > 0), ADJACENT_WEIGHT, weights)

    def _source_weights(self, targets: Tensor, mining: bool) -> Tensor:
        """(S,) weight of each source, zero if it has no near target."""
        possible = (targets.sum(1) > 0).float()
        return possible * self._regions.frame_errors().clamp_min(1e-12) if mining else possible

    def _point_weights(self, source: Tensor, slot: Tensor, mining: bool) -> Tensor:
        """(L, P) weight of each point in L pairs, zero if it is not trusted."""
        even = (self.data.confidence[source, slot] > 0).float()
        if self._hard_share == 0:
            return even
        if not mining:
            return even * self._rareness[source]
        hard = even * self.error[source][:, self._regions.region_of_point]
        return (1 - self._hard_share) * _normalised(even) + self._hard_share * _normalised(hard)


def _normalised(weights: Tensor) -> Tensor:
    """Scale rows to a sum of one."""
    return weights / weights.sum(-1, keepdim=True).clamp_min(1e-12)
