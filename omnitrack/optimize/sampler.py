"""Which correspondences a step is fitted to: hard mining by region, on the device, without a host synchronisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences


@dataclass(frozen=True)
class Batch:
    """B anchors with M targets each.

    Attributes:
        source_frames: (B,) frame of each anchor.
        source_pixels: (B, 2) its pixel.
        target_frames: (B, M) frames it was found in.
        target_pixels: (B, M, 2) its pixel there.
        confidence: (B, M) in [0, 1]; zero where an anchor has no correspondence.
        occluded: (B, M) bool: believed, but hidden in the target frame.
        colors: (B, 3) RGB of the anchors in [0, 1].
        cells: (B,) the region of each anchor in `HardMiningSampler.error`.
    """

    source_frames: Tensor
    source_pixels: Tensor
    target_frames: Tensor
    target_pixels: Tensor
    confidence: Tensor
    occluded: Tensor
    colors: Tensor
    cells: Tensor


class HardMiningSampler:
    """Draws anchors by the running error of their region, and targets uniformly among those an anchor has.

    One share of the probability is spread evenly over all regions that have correspondences, the other in
    proportion to the error of the last visits, so that a small object that fits badly is not outvoted by a large
    background that fits well.

    Args:
        correspondences: What to draw from.
        regions: Regions per side of a frame.
        hard_share: Share of the probability that follows the error.
    """

    DECAY = 0.9  # of a region's running error at each visit

    def __init__(self, correspondences: Correspondences, regions: int, hard_share: float) -> None:
        self.data = correspondences
        self.hard_share = hard_share
        rows, columns = correspondences.grid_shape
        device = correspondences.grid.device
        self._members, self._member_counts = _region_members(rows, columns, regions, device)
        valid = correspondences.confidence > 0  # (S, K, P)
        self._num_valid = valid.sum(1)  # (S, P)
        # valid slots first, so that the n-th valid target of an anchor is one read away
        self._slots = torch.argsort(valid.to(torch.uint8), dim=1, descending=True, stable=True).to(torch.uint8)
        per_cell = torch.zeros(len(correspondences.sources), len(self._member_counts), device=device)
        cell_of_point = torch.empty(rows * columns, dtype=torch.long, device=device)
        for region, count in enumerate(self._member_counts.tolist()):
            cell_of_point[self._members[region, :count]] = region
        per_cell.index_add_(1, cell_of_point, (self._num_valid > 0).float())
        self._occupancy = per_cell / self._member_counts
        self.error = torch.ones_like(per_cell)

    def draw(
        self,
        anchors: int,
        targets: int,
        active: tuple[int, int],
        generator: torch.Generator,
        neighbours: bool = False,
    ) -> Batch:
        """Draw a batch.

        Args:
            anchors: B.
            targets: M.
            active: Source frames to draw from, [first, last).
            generator: Source of the randomness, on the device.
            neighbours: Append the grid neighbour of every anchor, in the same targets: 2 B anchors, the second half
                beside the first. A neighbour that was not found in a target has no confidence there.
        """
        data, device = self.data, self.data.grid.device
        cells = self._draw_cells(anchors, active, generator)
        source, region = cells // len(self._member_counts), cells % len(self._member_counts)
        uniform = torch.rand(anchors, targets + 1, generator=generator, device=device)
        point = self._members[region, (uniform[:, 0] * self._member_counts[region]).long()]
        count = self._num_valid[source, point]
        nth = (uniform[:, 1:] * count[:, None]).long()
        slot = self._slots[source[:, None], nth, point[:, None]].long()
        if neighbours:
            columns = data.grid_shape[1]
            beside = torch.where(point % columns < columns - 1, point + 1, point - 1)
            point, source, slot, cells = (
                torch.cat([point, beside]),
                source.repeat(2),
                slot.repeat(2, 1),
                cells.repeat(2),
            )
        source_m, point_m = source[:, None].expand_as(slot), point[:, None].expand_as(slot)
        return Batch(
            source_frames=data.sources[source],
            source_pixels=data.grid[point],
            target_frames=data.targets[source_m, slot].clamp_min(0),
            target_pixels=data.landing(source_m, slot, point_m),
            confidence=data.confidence[source_m, slot, point_m] / 255.0,
            occluded=data.occluded[source_m, slot, point_m],
            colors=data.colors[source, point] / 255.0,
            cells=cells,
        )

    def update(self, cells: Tensor, errors: Tensor) -> None:
        """Record the errors (B,) that the anchors of the last batch had, in pixels."""
        flat = self.error.view(-1)
        total = torch.zeros_like(flat).index_add_(0, cells, errors)
        visits = torch.zeros_like(flat).index_add_(0, cells, torch.ones_like(errors))
        seen = visits > 0
        mean = total / visits.clamp_min(1)
        flat.copy_(torch.where(seen, self.DECAY * flat + (1 - self.DECAY) * mean, flat))

    def _draw_cells(self, count: int, active: tuple[int, int], generator: torch.Generator) -> Tensor:
        even = self._occupancy * self._active(active)[:, None]
        even = torch.where(even.sum() > 0, even, self._occupancy)  # nothing is known of the active frames
        hard = even * self.error
        share = (1 - self.hard_share) * even / even.sum() + self.hard_share * hard / hard.sum()
        cumulative = share.flatten().double().cumsum(0)
        uniform = torch.rand(count, generator=generator, device=share.device, dtype=torch.float64)
        return torch.searchsorted(cumulative, uniform * cumulative[-1]).clamp_max(len(cumulative) - 1)

    def _active(self, active: tuple[int, int]) -> Tensor:
        frames = self.data.sources
        return ((frames >= active[0]) & (frames < active[1])).float()


def _region_members(rows: int, columns: int, regions: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Grid points of each region as a padded table (R, most) and their numbers (R,)."""
    y = torch.arange(rows) * regions // rows
    x = torch.arange(columns) * regions // columns
    region = (y[:, None] * regions + x[None, :]).flatten()
    counts = torch.bincount(region, minlength=regions * regions)
    used = torch.nonzero(counts).flatten()
    table = torch.zeros(len(used), int(counts.max()), dtype=torch.long)
    for row, index in enumerate(used.tolist()):
        members = torch.nonzero(region == index).flatten()
        table[row, : len(members)] = members
    return table.to(device), counts[used].to(device)
