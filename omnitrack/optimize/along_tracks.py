"""Values of grid points summed along their tracks, and over neighbours similar in colour and motion."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences

ALIKE_REACH = 6  # grid points in each direction over which values are summed
ALIKE_COLOR = 0.15  # difference in colour, RGB in [0, 1], at which a neighbour's weight falls to 1 / e
ALIKE_DEPTH = 0.1  # difference in depth from motion at which it falls to 1 / e
CHUNK_MAPS = 32  # frames at once, in operations that take many times the memory of their result


def sum_along_tracks(data: Correspondences, values: Tensor) -> Tensor:
    """Sum values (n, S, P) over the positions of every point in its own and all other frames."""
    rows, sums, count = data.target_rows(), values.clone(), len(data.grid)
    flat = values.flatten(1)
    for k in range(rows.shape[1]):  # all sources at once: there are few slots, but many targets
        there = data.grid + data.displacement[:, k] * data.unit_px
        sure = data.confidence[:, k] / 255.0 * ~data.occluded[:, k] * (rows[:, k, None] >= 0)
        landed = rows[:, k, None].clamp_min(0) * count + data.nearest_point(there)
        sums += sure * flat.index_select(1, landed.flatten()).view_as(sums)
    return sums


def mean_along_tracks(data: Correspondences, depth: Tensor) -> Tensor:
    """Give every point its mean depth along its track, because a surface has one depth. (S, P)"""
    total, weight = sum_along_tracks(data, torch.stack([depth, torch.ones_like(depth)]))
    return total / weight


def among_alike(data: Correspondences, values: Tensor, depth: Tensor) -> Tensor:
    """Sums of values (n, S, P) over nearby grid points, weighted by their similarity in colour and depth (S, P)."""
    parts = zip(data.colors.split(CHUNK_MAPS), values.split(CHUNK_MAPS, 1), depth.split(CHUNK_MAPS), strict=True)
    return torch.cat([_sum_over_alike(*part, data.grid_shape) for part in parts], 1)


def _sum_over_alike(colors: Tensor, values: Tensor, depth: Tensor, grid_shape: tuple[int, int]) -> Tensor:
    rows, columns = grid_shape
    maps = values.view(len(values), -1, rows, columns)
    colors = colors.view(-1, rows, columns, 3).movedim(-1, 0) / (255 * ALIKE_COLOR)
    channels = torch.cat([colors, depth.view(1, -1, rows, columns) / ALIKE_DEPTH])
    total = torch.zeros_like(maps)
    for dy in range(-ALIKE_REACH, ALIKE_REACH + 1):
        for dx in range(-ALIKE_REACH, ALIKE_REACH + 1):
            here, there = _overlap(dy, rows), _overlap(-dy, rows)
            here_x, there_x = _overlap(dx, columns), _overlap(-dx, columns)
            apart = ((channels[..., here, here_x] - channels[..., there, there_x]) ** 2).sum(0)
            total[..., here, here_x] += torch.exp(-apart) * maps[..., there, there_x]
    return total.view(values.shape)


def _overlap(shift: int, length: int) -> slice:
    """The part of a side that stays within the side when moved by `shift`."""
    return slice(max(0, -shift), max(0, length - max(0, shift)))
