"""Whether correspondences lead back: a chain that starts at the landing position is a second opinion.

A chain that slid from an object onto the background is consistent hop by hop. But from its end, the background's own
chain leads to the background in the source frame, not to the start of the first chain.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.units import raster_scale

NO_WAY_BACK = 0.3  # factor of the confidence if no trusted correspondence leads back


def cycle_weighted(data: Correspondences, half_px: float) -> Correspondences:
    """Lower the confidence of correspondences whose landing position does not lead back to their start.

    The confidence is multiplied by 1 / (1 + (d / half_px)^2), with d the distance from the start after going there
    along the correspondence, and back along the correspondence of the grid point nearest to the landing position. If
    that one is not trusted, or is occluded, the factor is `NO_WAY_BACK`. Occluded correspondences, which end on another
    surface, stay unchanged, and so do those of pairs of frames without correspondences in the other direction.

    Args:
        data: Correspondences.
        half_px: Distance at which the confidence is halved, in pixels at 256 x 256. 0 returns `data`.

    Returns:
        The data with other confidences; none that was above zero becomes zero.
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
    """The reverse of each target (S, K), as an index into the flattened (S, K); -1 if there is none."""
    there = data.sources[:, None] * data.num_frames + data.targets
    there = torch.where(data.targets >= 0, there, -1).flatten()
    back = (data.targets * data.num_frames + data.sources[:, None]).flatten()
    known, order = there.sort()
    at = torch.searchsorted(known, back).clamp_max(len(known) - 1)
    found = (known[at] == back) & (there >= 0)
    return torch.where(found, order[at], -1).view(data.targets.shape)


def _return_factors(data: Correspondences, source: int, slots: Tensor, back: Tensor, half: float) -> Tensor:
    """(n, P) factors for n targets of a source, from their reverses `back` (n,); `half` in pixels."""
    moved = data.displacement[source, slots] * data.unit_px
    landing, back = data.nearest_point(data.grid + moved), back[:, None]
    returned = data.displacement.flatten(0, 1)[back, landing] * data.unit_px
    trusted = (data.confidence.flatten(0, 1)[back, landing] > 0) & ~data.occluded.flatten(0, 1)[back, landing]
    return torch.where(trusted, 1 / (1 + ((moved + returned).norm(dim=-1) / half) ** 2), NO_WAY_BACK)
