"""The running error of every region of every source frame, for hard mining."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.optimize.correspondences import Correspondences


class RegionErrors:
    """The grid points of S source frames in R regions each, and the running error of each region.

    For this, the published codes recompute the dense flow of every frame every 20,000 steps. A running mean over the
    anchors that are drawn anyway costs nothing and is never that old.

    Args:
        data: Correspondences.
        num_valid: (S, P) number of correspondences of each point.
        regions: Regions per side of a frame; regions without grid points are left out.

    Attributes:
        members: (R, most) grid points of each region, padded.
        member_counts: (R,) number of grid points of each region.
        region_of_point: (P,) the region of each grid point.
        occupancy: (S, R) share of a region's points that have any correspondence.
        error: (S, R) running error in pixels at 256 x 256, one at the start. Changes in place.
    """

    DECAY = 0.9  # share of a region's running error that each update keeps

    def __init__(self, data: Correspondences, num_valid: Tensor, regions: int) -> None:
        rows, columns = data.grid_shape
        device = data.grid.device
        self.members, self.member_counts, self.region_of_point = (
            table.to(device) for table in _region_members(rows, columns, regions)
        )
        per_cell = torch.zeros(len(data.sources), len(self.member_counts), device=device)
        per_cell.index_add_(1, self.region_of_point, (num_valid > 0).float())
        self.occupancy = per_cell / self.member_counts
        self.error = torch.ones_like(per_cell)

    def update(self, cells: Tensor, errors: Tensor) -> None:
        """Record the errors (B,) of anchors in cells (B,), which are indices into the flattened `error`."""
        flat = self.error.view(-1)
        total = torch.zeros_like(flat).index_add_(0, cells, errors)
        visits = torch.zeros_like(flat).index_add_(0, cells, torch.ones_like(errors))
        seen = visits > 0
        mean = total / visits.clamp_min(1)
        flat.copy_(torch.where(seen, self.DECAY * flat + (1 - self.DECAY) * mean, flat))

    def frame_errors(self) -> Tensor:
        """(S,) error of each source frame: the mean over its regions, weighted by their occupancy."""
        return (self.error * self.occupancy).sum(1) / self.occupancy.sum(1).clamp_min(1e-12)


def _region_members(rows: int, columns: int, regions: int) -> tuple[Tensor, Tensor, Tensor]:
    """Grid points of each region as a padded table (R, most), their counts (R,), and the region (P,) of each point."""
    y = torch.arange(rows) * regions // rows
    x = torch.arange(columns) * regions // columns
    used, region, counts = torch.unique(
        (y[:, None] * regions + x[None, :]).flatten(), return_inverse=True, return_counts=True
    )
    by_region = region.argsort(stable=True)
    rank = torch.arange(len(region)) - (counts.cumsum(0) - counts)[region[by_region]]
    table = torch.zeros(len(used), int(counts.max()), dtype=torch.long)
    table[region[by_region], rank] = by_region
    return table, counts, region
