"""Alignment of the depth maps of a clip's frames to one scale, along correspondences."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences

POINTS_PER_PAIR = 1024  # at most, at which the scales of two frames are compared
POINTS_IN_ALL = 4_000_000  # at most, over all pairs
ALIGNMENT_ROUNDS = 6  # of reweighting; for exact data with a fifth of outliers, the result is within 2 per cent


def align_frames(values: Tensor, known: Tensor, data: Correspondences) -> tuple[Tensor, Tensor]:
    """Scale and shift of every frame with which points keep their depth along their tracks.

    For every two frames, the spread and mean of depth at the visible correspondences are compared: ``scale_i spread_i =
    scale_j spread_j``, and so on. Unlike least squares on the depths, this cannot shrink everything to a point. All
    pairs together give two linear systems; depths that do not agree afterwards count less in the next round.

    Args:
        values: (S, P) depths.
        known: (S, P) whether each depth is known.
        data: Correspondences.

    Returns:
        (S,) positive scales, whose geometric mean is 1, and (S,) shifts, whose mean is 0.
    """
    frames = len(values)
    scale, shift = torch.ones(frames).to(values), torch.zeros(frames).to(values)
    matched = _matched(values, known, data)
    if matched is None:
        return scale, shift
    pair, index, a, b, sure = matched
    (first, second), count = pair[:, index], pair.shape[1]
    weight = sure
    for _ in range(ALIGNMENT_ROUNDS):
        total = _pooled(weight, index, count)
        mean_a, spread_a = _moments(a, weight, index, total)
        mean_b, spread_b = _moments(b, weight, index, total)
        apart = (spread_a > 0) & (spread_b > 0)
        ratio = torch.log(torch.where(apart, spread_b, 1.0)) - torch.log(torch.where(apart, spread_a, 1.0))
        scale = _solve(pair, ratio, total * apart, frames).exp()
        shift = _solve(pair, scale[pair[1]] * mean_b - scale[pair[0]] * mean_a, total, frames)
        error = (scale[first] * a + shift[first] - scale[second] * b - shift[second]).abs()
        usual = error.median().clamp_min(1e-6 * float(values.std()) + 1e-12)
        weight = sure / (1 + (error / (3 * usual)) ** 2) ** 2
    return scale, shift


def _matched(
    values: Tensor, known: Tensor, data: Correspondences
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor] | None:
    """Depths of the same points in two frames.

    Returns:
        (2, Q) rows of the frames of each pair; for each of N points its pair, its two depths, and its confidence.
        None if no point has both depths.
    """
    rows = data.target_rows()
    pairs = torch.nonzero(rows >= 0)  # (Q, 2) sources and slots
    number = torch.full_like(rows, -1)
    number[pairs[:, 0], pairs[:, 1]] = torch.arange(len(pairs), device=rows.device)
    most = max(1, min(POINTS_PER_PAIR, POINTS_IN_ALL // max(1, len(pairs))))
    believed = (data.confidence > 0) & ~data.occluded & known[:, None] & (rows >= 0)[..., None]
    source, slot, point = torch.nonzero(believed, as_tuple=True)
    pair = number[source, slot]
    count = believed.sum(2)[pairs[:, 0], pairs[:, 1]]
    rank = torch.arange(len(pair), device=rows.device) - (count.cumsum(0) - count)[pair]
    some = rank % torch.ceil(count / most).long().clamp_min(1)[pair] == 0
    source, slot, point, pair = source[some], slot[some], point[some], pair[some]
    there, at = rows[source, slot], data.nearest_point(data.landing(source, slot, point))
    both = known[there, at]
    if not bool(both.any()):
        return None
    sure = data.confidence[source, slot, point] / 255.0
    ends = torch.stack([pairs[:, 0], rows[pairs[:, 0], pairs[:, 1]]])
    return ends, pair[both], values[source, point][both], values[there, at][both], sure[both]


def _pooled(values: Tensor, index: Tensor, count: int) -> Tensor:
    return values.new_zeros(count).index_add_(0, index, values)


def _moments(values: Tensor, weight: Tensor, index: Tensor, total: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of each pair's values."""
    mean = _pooled(weight * values, index, len(total)) / total.clamp_min(1e-12)
    square = _pooled(weight * (values - mean[index]) ** 2, index, len(total)) / total.clamp_min(1e-12)
    return mean, square.sqrt()


def _solve(pair: Tensor, difference: Tensor, weight: Tensor, frames: int) -> Tensor:
    """Values (S,) of mean 0 with ``value_i - value_j = difference``, by weighted least squares over the pairs."""
    laplacian = torch.zeros(frames, frames, dtype=torch.float64, device=pair.device)
    right = torch.zeros(frames, dtype=torch.float64, device=pair.device)
    weight, difference = weight.double(), difference.double()
    i, j = pair
    for row, column, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
        laplacian.index_put_((row, column), sign * weight, accumulate=True)
    right.index_add_(0, i, weight * difference).index_add_(0, j, -weight * difference)
    tie = 1e-9 * float(laplacian.diagonal().max()) + 1e-12  # frames without links to the others stay at the mean
    laplacian += tie * torch.eye(frames, dtype=torch.float64, device=pair.device)
    values = torch.linalg.solve(laplacian, right)
    return (values - values.mean()).to(torch.float32)
