"""Flow corrected by what looks alike: a search among descriptors around a flow that is there.

Every place of a grid looks for the displacement d of the highest

    s(d) - TO_FLOW |d - f|

with s the cosine of the descriptors at both ends, f the flow that is there, and the distance in pixels at 256 x 256,
bounded. It tries the displacements of other places, near and farther away, and random steps from its own, ever smaller
ones. What it finds replaces the flow where it is more alike by a margin. Nothing makes neighbours agree: where there is
nothing to be found, as behind things, what is found differs from place to place, and the cycle check sees it.

Source:
    Barnes et al., PatchMatch: A Randomized Correspondence Algorithm for Structural Image Editing, SIGGRAPH 2009; with
    descriptors in place of patches, and all places of the grid at the same time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from omnitrack.correspondence.raster import Array, raster_scale

TO_FLOW = 0.002  # cosine per px at 256 x 256 beside the flow
FARTHEST = 4.0  # times the reach: farther from the flow costs no more
LEAST_STEP_PX = 0.4  # at 256 x 256: random steps end above this
ROUNDS = ((2, 8), (1, 4), (2, 8))  # distances of the places that are asked, in cells of the grid
SEED = 0  # of the random steps, which are the same for every pair

Alike = Callable[[Tensor], Tensor]  # cosines (R, C) at displacements (R, C, 2)


class DescriptorSearch:
    """Corrects flow between frames of one size.

    Args:
        size: (width, height) of the frames in pixels.
        map_size: (width, height) of the maps of descriptors, which cover the frames.
        grid_points: Places that look for a displacement, at most: in larger frames one stands for several pixels.
        reach_px: Of the first random step, at 256 x 256.
        margin: Cosine by which another place must be more alike than the one where the flow leads.
        device: Of the maps.
    """

    def __init__(
        self,
        size: tuple[int, int],
        map_size: tuple[int, int],
        grid_points: int,
        reach_px: float,
        margin: float,
        device: str | torch.device = "cpu",
    ) -> None:
        self._size, self._map_size, self._margin = size, map_size, margin
        self._scale = raster_scale(size)
        self._cell = size[0] / map_size[0], size[1] / map_size[1]  # of a map, in pixels
        self._reach_px = reach_px
        share = min(1.0, (grid_points / (size[0] * size[1])) ** 0.5)
        self._columns, self._rows = (max(1, round(length * share)) for length in size)
        x = (torch.arange(self._columns, device=device) + 0.5) * size[0] / self._columns - 0.5
        y = (torch.arange(self._rows, device=device) + 0.5) * size[1] / self._rows - 0.5
        self._x, self._y = x[None, :], y[:, None]  # of the cells' centres, in pixels
        self._own = self._cells(torch.zeros(self._rows, self._columns, 2, device=device))
        random = torch.Generator().manual_seed(SEED)
        self._steps = [self._random_steps(random, device) for _ in ROUNDS]

    def correct(self, source: Tensor, target: Tensor, flow: Array) -> Array:
        """Flow (H, W, 2) with what looks more alike.

        Args:
            source: (h * w, C) descriptors of the source frame, row by row, of unit length.
            target: Those of the target frame.
            flow: From source to target, in pixels.

        Returns:
            (H, W, 2) float32; where nothing looks better, the values that were given.
        """
        own = source.index_select(0, self._own)

        def alike(displacements: Tensor) -> Tensor:
            products = own * target.index_select(0, self._cells(displacements))
            return products.sum(1, dtype=torch.float32).view(self._rows, self._columns)

        start = self._on_grid(flow)
        best, score = start, alike(start)

        def offer(displacements: Tensor) -> None:
            nonlocal best, score
            other = alike(displacements) - self._pull(displacements - start)
            better = other > score
            best = torch.where(better[..., None], displacements, best)
            score = torch.where(better, other, score)

        for hops, steps in zip(ROUNDS, self._steps, strict=True):
            for hop in hops:
                for shift in ((hop, 0), (-hop, 0), (0, hop), (0, -hop)):
                    offer(torch.roll(best, shift, (0, 1)))
            for step in steps:
                offer(best + step)
        better = alike(best) > alike(start) + self._margin
        return self._laid_over(flow, self._between_cells(best, alike), better)

    def _nearest(self, displacements: Tensor) -> tuple[Tensor, Tensor]:
        """Columns and rows (R, C), whole numbers, of the map's cells to which displacements (R, C, 2) lead."""
        width, height = self._map_size
        column = ((self._x + displacements[..., 0] + 0.5) / self._cell[0] - 0.5).round()
        row = ((self._y + displacements[..., 1] + 0.5) / self._cell[1] - 0.5).round()
        return column.clamp(0, width - 1), row.clamp(0, height - 1)

    def _cells(self, displacements: Tensor) -> Tensor:
        """Indices (R * C,) of these cells, row by row."""
        column, row = self._nearest(displacements)
        return (row * self._map_size[0] + column).long().flatten()

    def _between_cells(self, displacements: Tensor, alike: Alike) -> Tensor:
        """Displacements (R, C, 2) to cells of the map, moved to the top of the parabola through their neighbours."""
        column, row = self._nearest(displacements)
        x, y = (column + 0.5) * self._cell[0] - 0.5 - self._x, (row + 0.5) * self._cell[1] - 0.5 - self._y
        moved, here = torch.stack([x, y], -1), alike(displacements)
        tops = []
        for axis in (0, 1):
            step = torch.zeros(2, device=moved.device)
            step[axis] = self._cell[axis]
            before, after = alike(moved - step), alike(moved + step)
            bend = 2 * here - before - after
            tops.append(((after - before) / (2 * bend)).where(bend > 0, 0).clamp(-0.5, 0.5) * self._cell[axis])
        return moved + torch.stack(tops, -1)

    def _random_steps(self, random: torch.Generator, device: str | torch.device) -> list[Tensor]:
        """Steps (R, C, 2) in pixels: in a square of twice the reach, then ever smaller ones."""
        steps, reach_px = [], self._reach_px
        while reach_px >= LEAST_STEP_PX:
            unit = torch.rand(self._rows, self._columns, 2, generator=random) * 2 - 1
            steps.append((unit * (reach_px * self._scale)).to(device))
            reach_px /= 2
        return steps

    def _pull(self, apart: Tensor) -> Tensor:
        """What a distance (R, C, 2) from the flow costs."""
        pixels = torch.linalg.vector_norm(apart, dim=-1) / self._scale
        return TO_FLOW * pixels.clamp(max=FARTHEST * self._reach_px)

    def _on_grid(self, flow: Array) -> Tensor:
        """Flow (R, C, 2) at the pixel that is nearest to each cell's centre."""
        rows, columns = self._y.round().long().cpu().numpy(), self._x.round().long().cpu().numpy()
        return torch.from_numpy(np.asarray(flow, np.float32)[rows, columns]).to(self._x.device)

    def _laid_over(self, flow: Array, found: Tensor, better: Tensor) -> Array:
        """The flow, with what was found in the pixels of the cells where it is better."""
        rows = np.arange(self._size[1]) * self._rows // self._size[1]
        columns = np.arange(self._size[0]) * self._columns // self._size[0]
        where = np.ix_(rows, columns)
        return np.where(better.cpu().numpy()[where][..., None], found.cpu().numpy()[where], flow).astype(np.float32)
