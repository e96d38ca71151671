"""Do correspondences lead back? Those of a landing place, chained from its own frame, are a second opinion.

A chain that slid from an object onto the background is consistent hop by hop. But from where it ended, the background's
own chain leads to the background in the source frame, not to where the first one began.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.units import raster_scale

NO_WAY_BACK = 0.3  # times the confidence where nothing is believed of the landing place


def cycle_weighted(data: Correspondences, half_px: float) -> Correspondences:
    """Lower the confidence of correspondences whose landing place does not lead back to where they began.

    The confidence is multiplied by 1 / (1 + (d / half_px)^2), d the distance from the start after going there along
    the correspondence, and back along that of the grid point nearest to the landing place; where that one is not
    believed, or is hidden, by `NO_WAY_BACK`. Hidden correspondences, which end on something else's surface, stay as
    they are, and so do those of pairs of frames that are not there the other way.

    Args:
        data: Correspondences.
        half_px: Distance of half the confidence, in pixels at 256 x 256. 0 returns `data`.

    Returns:
        The same with other confidences; none that was above zero becomes zero.
    """
    if half_px == 0:
        return data
    half = half_px * raster_scale(data.size)
    confidence, ways_back = data.confidence.clone(), _ways_back(data)
    for source, back in enumerate(ways_back):  # all sources at once would take many times the memory of the data
        slots = (back >= 0).nonzero()[:, 0]
        before = data.confidence[source, slots]
        weighed = (before * _return_factors(data, source, slots, back[slots], half)).round().clamp_min(1)
        kept = data.occluded[source, slots] | (before == 0)
        confidence[source, slots] = torch.where(kept, before, weighed.to(torch.uint8))
    return replace(data, confidence=confidence)


def _ways_back(data: Correspondences) -> Tensor:
    """Of each target (S, K) the one the other way, as an index into the flattened (S, K); -1 where there is none."""
    there = data.sources[:, None] * data.num_frames + data.targets
    there = torch.where(data.targets >= 0, there, -1).flatten()
    back = (data.targets * data.num_frames + data.sources[:, None]).flatten()
    known, order = there.sort()
    at = torch.searchsorted(known, back).clamp_max(len(known) - 1)
    found = (known[at] == back) & (there >= 0)
    return torch.where(found, order[at], -1).view(data.targets.shape)


def _return_factors(data: Correspondences, source: int, slots: Tensor, back: Tensor, half: float) -> Tensor:
    """(n, P) factors for n targets of a source, by those of the other direction `back` (n,); `half` in pixels."""
    moved = data.displacement[source, slots] * data.unit_px
    landing, back = data.nearest_point(data.grid + moved), back[:, None]
    returned = data.displacement.flatten(0, 1)[back, landing] * data.unit_px
    believed = (data.confidence.flatten(0, 1)[back, landing] > 0) & ~data.occluded.flatten(0, 1)[back, landing]
    return torch.where(believed, 1 / (1 + ((moved + returned).norm(dim=-1) / half) ** 2), NO_WAY_BACK)
