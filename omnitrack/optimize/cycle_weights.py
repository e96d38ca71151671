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
    sources, targets = data.sources.tolist(), data.targets.tolist()
    entry_of = {(sources[s], t): (s, k) for s, row in enumerate(targets) for k, t in enumerate(row) if t >= 0}
    confidence = data.confidence.clone()
    for (source, target), (s, k) in entry_of.items():
        back = entry_of.get((target, source))
        if back is not None:
            before = data.confidence[s, k]
            weighed = (before * _return_factor(data, (s, k), back, half)).round().clamp_min(1)
            confidence[s, k] = torch.where(data.occluded[s, k] | (before == 0), before, weighed.to(torch.uint8))
    return replace(data, confidence=confidence)


def _return_factor(data: Correspondences, there: tuple[int, int], back: tuple[int, int], half: float) -> Tensor:
    """(P,) factors for the entries (source, slot) `there`, by those of the other direction; `half` in pixels."""
    moved = data.displacement[there] * data.unit_px
    landing = data.nearest_point(data.grid + moved)
    returned = data.displacement[back][landing] * data.unit_px
    believed = (data.confidence[back][landing] > 0) & ~data.occluded[back][landing]
    return torch.where(believed, 1 / (1 + ((moved + returned).norm(dim=-1) / half) ** 2), NO_WAY_BACK)
