"""The depth order of surfaces from occlusion: a surface that covers another one is nearer than that one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from omnitrack.optimize.along_tracks import among_alike, mean_along_tracks, sum_along_tracks
from omnitrack.optimize.correspondences import Correspondences

FAR, NEAR = 0.5, -0.5  # ends of the depth from motion
LEAST_EVIDENCE = 8.0  # pseudo-count of occlusions on a track and around it, so that a few decide nothing
STILL_DEPTH = 0.15  # depth from motion beyond which a surface counts as moving with the camera
SMOOTHING_ROUNDS = 4
COVER_MARGIN = 0.25  # of the range from near to far, between a covering surface and a covered one


@dataclass(frozen=True)
class HiddenEntries:
    """The N trusted but occluded entries whose target frames are themselves sources.

    Points are indices into flattened (S, P).

    Attributes:
        hidden: (N,) the points that are occluded.
        covers: (N,) the points of the target frames on which they land, and which cover them.
        pair: (N,) number of each entry's pair of frames; entries are sorted by it.
        shape: (S, P).
    """

    hidden: Tensor
    covers: Tensor
    pair: Tensor
    shape: torch.Size

    @staticmethod
    def of(data: Correspondences) -> HiddenEntries:
        """Collect the entries of correspondences."""
        rows = data.target_rows()
        source, slot, point = torch.nonzero(
            data.occluded & (data.confidence > 0) & (rows >= 0)[..., None], as_tuple=True
        )
        at = data.nearest_point(data.landing(source, slot, point))
        size = len(data.grid)
        return HiddenEntries(
            hidden=source * size + point,
            covers=rows[source, slot] * size + at,
            pair=source * rows.shape[1] + slot,
            shape=torch.Size((len(rows), size)),
        )

    def where(self, chosen: Tensor) -> HiddenEntries:
        """Select entries by a mask (N,)."""
        return replace(self, hidden=self.hidden[chosen], covers=self.covers[chosen], pair=self.pair[chosen])

    def summed(self, at_hidden: Tensor | None, at_covers: Tensor | None) -> Tensor:
        """Sums (S, P) of values (N,) that the entries add to the occluded points and to the points that cover them.

        They are summed pair by pair, the values of the occluded points first.
        """
        if at_hidden is None or at_covers is None:
            index, values = (self.covers, at_covers) if at_hidden is None else (self.hidden, at_hidden)
            assert values is not None
        else:
            order = torch.cat([2 * self.pair, 2 * self.pair + 1]).argsort(stable=True)
            index = torch.cat([self.hidden, self.covers])[order]
            values = torch.cat([at_hidden, at_covers])[order]
        return values.new_zeros(self.shape.numel()).index_add_(0, index, values).view(self.shape)


def part_at_occlusions(data: Correspondences, depth: Tensor) -> Tensor:
    """Push covered points behind the points that cover them. (S, P)

    A trusted but occluded entry (s, k, p) lands where frame k shows the surface that covers p. If that surface is not
    nearer already, the two are separated around their mean.
    """
    margin, entries = 0.2 * (FAR - NEAR), HiddenEntries.of(data)
    one = torch.ones_like(depth.flatten()[entries.hidden])
    weight = entries.summed(one, one)
    for _ in range(SMOOTHING_ROUNDS):
        flat = depth.flatten()
        push = torch.relu(margin + flat[entries.covers] - flat[entries.hidden]) / 2
        depth = depth + entries.summed(push, -push) / weight.clamp_min(1)
        depth = mean_along_tracks(data, depth)
    return depth.clamp(NEAR - margin, FAR + margin)


def bring_covers_forward(data: Correspondences, depth: Tensor, motion: Tensor) -> Tensor:
    """Bring surfaces that move with the camera, and so seem far, in front of moving objects that they cover. (S, P)

    A trusted but occluded entry (s, k, p) lands where frame k shows the surface that covers p. Entries between points
    of similar motion do not count, because most of them are one surface that seems to cover itself. A surface covers
    others in few frames and positions only, so its entries are summed along the tracks and over neighbours, and have to
    clearly outnumber the entries in which it is covered itself.

    Args:
        data: Correspondences.
        depth: (S, P) current depth.
        motion: (S, P) depth from motion alone.
    """
    margin = COVER_MARGIN * (FAR - NEAR)
    seen = sum_along_tracks(data, among_alike(data, _covering(data, motion, margin), motion))
    covers, covered, before = seen
    sure = 4 * (covers - 2 * covered) > covers + covered + LEAST_EVIDENCE
    in_front = before / covers.clamp_min(1e-6) - 2 * margin
    lifted = sure & (depth - in_front > margin) & (motion > STILL_DEPTH)
    return torch.where(lifted, in_front.clamp_min(NEAR - 2 * margin), depth)


def _covering(data: Correspondences, depth: Tensor, margin: float) -> Tensor:
    """Count how often every point covers another and is covered, and sum the depths of the points it covers.

    Only entries whose depths (S, P) are more than `margin` apart count. Returns (3, S, P).
    """
    entries, flat = HiddenEntries.of(data), depth.flatten()
    entries = entries.where((flat[entries.covers] - flat[entries.hidden]).abs() > margin)
    behind = flat[entries.hidden]
    one = torch.ones_like(behind)
    return torch.stack([entries.summed(None, one), entries.summed(one, None), entries.summed(None, behind)])
