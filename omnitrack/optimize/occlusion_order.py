"""The order of surfaces by occlusion: what is seen to cover something is nearer than what it covers."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from omnitrack.optimize.along_tracks import among_alike, mean_along_tracks, sum_along_tracks
from omnitrack.optimize.correspondences import Correspondences

FAR, NEAR = 0.5, -0.5  # ends of the depth from motion
LEAST_EVIDENCE = 8.0  # occlusions seen on a track and around it that do not count yet
STILL_DEPTH = 0.15  # depth from motion beyond which a surface moves like the camera
SMOOTHING_ROUNDS = 4
COVER_MARGIN = 0.25  # of the range from near to far, between what covers and what is covered


def hidden_entries(data: Correspondences) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    """The believed but hidden entries of every source and target frame that is itself a source.

    Yields:
        Rows of the source and of the target frame among the sources; the points (n,) that are hidden, and the points
        (n,) of the target frame that they land on: those cover them.
    """
    row_of = data.row_of_frame()
    for s in range(len(data.sources)):
        for k, target in enumerate(data.targets[s].tolist()):
            if target not in row_of:
                continue
            hidden = torch.nonzero(data.occluded[s, k] & (data.confidence[s, k] > 0)).flatten()
            if len(hidden):
                there = data.landing(torch.full_like(hidden, s), torch.full_like(hidden, k), hidden)
                yield s, row_of[target], hidden, data.nearest_point(there)


def part_at_occlusions(data: Correspondences, depth: Tensor) -> Tensor:
    """Push what is seen to be covered behind what covers it. (S, P)

    A believed but hidden entry (s, k, p) lands where frame k shows the surface that covers p. Where that surface is
    not nearer already, the two are parted around their mean.
    """
    margin = 0.2 * (FAR - NEAR)
    for _ in range(SMOOTHING_ROUNDS):
        total, weight = torch.zeros_like(depth), torch.zeros_like(depth)
        for s, cover, hidden, at in hidden_entries(data):
            push = torch.relu(margin + depth[cover][at] - depth[s][hidden]) / 2
            total[s].index_add_(0, hidden, push)
            weight[s].index_add_(0, hidden, torch.ones_like(push))
            total[cover].index_add_(0, at, -push)
            weight[cover].index_add_(0, at, torch.ones_like(push))
        depth = depth + total / weight.clamp_min(1)
        depth = mean_along_tracks(data, depth)
    return depth.clamp(NEAR - margin, FAR + margin)


def bring_covers_forward(data: Correspondences, depth: Tensor, motion: Tensor) -> Tensor:
    """Bring what moves like the camera, and so is taken to be far, in front of the moving things that it covers. (S, P)

    A believed but hidden entry (s, k, p) lands where frame k shows the surface that covers p. Entries between points of
    like motion are more often a surface that seems to cover itself than two, and do not count. A surface is seen to
    cover something in few frames and places only, so its entries are summed along the tracks and over neighbours, and
    have to outnumber those in which it is covered itself.

    Args:
        data: Correspondences.
        depth: (S, P) as it is.
        motion: (S, P) as it was from motion alone.
    """
    margin = COVER_MARGIN * (FAR - NEAR)
    seen = sum_along_tracks(data, among_alike(data, _covering(data, motion, margin), motion))
    covers, covered, before = seen
    sure = 4 * (covers - 2 * covered) > covers + covered + LEAST_EVIDENCE
    in_front = before / covers.clamp_min(1e-6) - 2 * margin
    lifted = sure & (depth - in_front > margin) & (motion > STILL_DEPTH)
    return torch.where(lifted, in_front.clamp_min(NEAR - 2 * margin), depth)


def _covering(data: Correspondences, depth: Tensor, margin: float) -> Tensor:
    """Of every point: how often it covers another, how often it is covered, and the depths of the others it covers.

    The last are summed. Depths (S, P); only entries that are more than `margin` apart count. Returns (3, S, P).
    """
    covers, covered, before = torch.zeros(3, *depth.shape, device=depth.device)
    for s, cover, hidden, at in hidden_entries(data):
        unlike = (depth[cover][at] - depth[s][hidden]).abs() > margin
        hidden, at = hidden[unlike], at[unlike]
        covered[s].index_add_(0, hidden, torch.ones_like(depth[s][hidden]))
        covers[cover].index_add_(0, at, torch.ones_like(depth[s][hidden]))
        before[cover].index_add_(0, at, depth[s][hidden])
    return torch.stack([covers, covered, before])
