"""Flow corrected by what looks alike: a search among descriptors around a flow that is there.

Every place of a grid looks for the displacement d of the highest

    s(d) - TO_FLOW |d - f|

with s the cosine of the descriptors at both ends, f the flow that is there, and the distance in pixels at 256 x 256,
bounded. It tries the displacements of other places, near and farther away, and random steps from its own, ever smaller
ones. What it finds replaces the flow where it is more alike by a margin, and where nothing around the place itself
looks more like what was found: of things that resemble each other, none is believed. Nothing makes neighbours agree:
where there is nothing to be found, as behind things, what is found differs from place to place, and the cycle check
sees it.

Source:
    Barnes et al., PatchMatch: A Randomized Correspondence Algorithm for Structural Image Editing, SIGGRAPH 2009; with
    descriptors in place of patches, and all places of the grid at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from omnitrack.correspondence.raster import Array, raster_scale

TO_FLOW = 0.002  # cosine per px at 256 x 256 beside the flow
FARTHEST = 4.0  # times the reach: farther from the flow costs no more
LEAST_STEP_PX = 0.4  # at 256 x 256: random steps end above this
ROUNDS = ((2, 8), (1, 4), (2, 8))  # distances of the places that are asked, in cells of the grid
BACK_STEP_PX = 2.0  # at 256 x 256: the raster on which the way back is looked for, up to the reach ...
LEAST_BACK_PX, LEAST_BACK_CELLS = 2.5, 2.0  # ... farther than this, in pixels there and in cells: nearer is the same
SEED = 0  # of the random steps, which are the same for every pair


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
        self._cell = torch.tensor(size, device=device) / torch.tensor(map_size, device=device)  # of a map, in pixels
        self._end = torch.tensor(size, device=device) - 0.5
        self._last = torch.tensor(map_size, device=device) - 1
        self._reach_px = reach_px
        share = min(1.0, (grid_points / (size[0] * size[1])) ** 0.5)
        self._columns, self._rows = (max(1, round(length * share)) for length in size)
        x = (torch.arange(self._columns, device=device) + 0.5) * size[0] / self._columns - 0.5
        y = (torch.arange(self._rows, device=device) + 0.5) * size[1] / self._rows - 0.5
        self._centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)  # (R * C, 2) pixels
        self._own = self._cells(self._centres)
        random = torch.Generator().manual_seed(SEED)
        self._steps = [self._random_steps(random, device) for _ in ROUNDS]
        along = torch.arange(-reach_px, reach_px + 1e-3, BACK_STEP_PX, device=device) * self._scale
        around = torch.stack(torch.meshgrid(along, along, indexing="xy"), -1).flatten(0, 1)
        same = max(LEAST_BACK_PX * self._scale, LEAST_BACK_CELLS * float(self._cell.max()))
        self._around = around[torch.linalg.vector_norm(around, dim=-1) > same]

    def correct(self, source: Tensor, target: Tensor, flow: Array) -> Array:
        """Flow (H, W, 2) with what looks more alike.

        Args:
            source: (h * w, C) descriptors of the source frame, row by row, of length at most 1.
            target: Those of the target frame.
            flow: From source to target, in pixels.

        Returns:
            (H, W, 2) float32; where nothing looks better, the values that were given.
        """
        start, own = self._on_grid(flow), source.index_select(0, self._own)
        here = _cosines(own, target, self._cells(self._centres + start))
        places = (here < 1 - self._margin).nonzero()[:, 0]  # elsewhere nothing can be more alike by the margin
        own, centres, near, here = own[places], self._centres[places], start[places], here[places]
        found, best, score = start.clone(), near, here
        for hops, steps in zip(ROUNDS, self._steps, strict=True):
            for displacements in self._offers(found, places, hops, steps):
                other = _cosines(own, target, self._cells(centres + displacements))
                other -= self._pull(displacements - near)
                better = other > score
                best = torch.where(better[:, None], displacements, best)
                score = torch.where(better, other, score)
                found[places] = best
        taken = _cosines(own, target, self._cells(centres + best)) > here + self._margin
        own, centres, best, places = own[taken], centres[taken], best[taken], places[taken]
        mutual = self._are_mutual(source, target, centres, centres + best)
        found, changed = start, torch.zeros(len(start), dtype=torch.bool, device=start.device)
        found[places[mutual]] = self._between_cells(own[mutual], target, centres[mutual], best[mutual])
        changed[places[mutual]] = True
        return self._laid_over(flow, found, changed)

    def _are_mutual(self, source: Tensor, target: Tensor, pixels: Tensor, landed: Tensor) -> Tensor:
        """Whether (N,) nothing around pixels (N, 2) looks more like where they landed than they do themselves."""
        there = target.index_select(0, self._cells(landed))
        own, best = _cosines(there, source, self._cells(pixels)), torch.full_like(pixels[:, 0], -1.0)
        for offset in self._around:
            other = pixels + offset
            on_frame = ((other >= -0.5) & (other < self._end)).all(1)
            best = torch.maximum(best, _cosines(there, source, self._cells(other)).where(on_frame, -1))
        return best < own

    def _nearest(self, pixels: Tensor) -> Tensor:
        """Columns and rows (N, 2), whole numbers, of the map's cells that are nearest to pixels (N, 2)."""
        cells = ((pixels + 0.5) / self._cell - 0.5).round()
        return torch.minimum(cells.clamp(min=0), self._last)

    def _cells(self, pixels: Tensor) -> Tensor:
        """Indices (N,) of these cells, row by row."""
        nearest = self._nearest(pixels)
        return (nearest[:, 1] * self._map_size[0] + nearest[:, 0]).long()

    def _between_cells(self, own: Tensor, target: Tensor, centres: Tensor, displacements: Tensor) -> Tensor:
        """Displacements (N, 2) to cells of the map, moved to the top of the parabola through their neighbours."""
        moved = (self._nearest(centres + displacements) + 0.5) * self._cell - 0.5 - centres

        def alike(step: Tensor) -> Tensor:
            return _cosines(own, target, self._cells(centres + moved + step))

        none = torch.zeros_like(self._cell)
        here, tops = alike(none), torch.zeros_like(moved)
        for axis in (0, 1):
            step = none.clone()
            step[axis] = self._cell[axis]
            before, after = alike(-step), alike(step)
            bend = 2 * here - before - after
            tops[:, axis] = ((after - before) / (2 * bend)).where(bend > 0, 0).clamp(-0.5, 0.5) * self._cell[axis]
        return moved + tops

    def _offers(self, found: Tensor, places: Tensor, hops: Sequence[int], steps: Sequence[Tensor]) -> Iterator[Tensor]:
        """What `places` try in a round, displacements (N, 2): what other places have, then steps from their own.

        `found` (R * C, 2) is looked at anew for each.
        """
        grid = found.view(self._rows, self._columns, 2)
        for hop in hops:
            for shift in ((hop, 0), (-hop, 0), (0, hop), (0, -hop)):
                yield torch.roll(grid, shift, (0, 1)).view(-1, 2)[places]
        for step in steps:
            yield found[places] + step[places]

    def _random_steps(self, random: torch.Generator, device: str | torch.device) -> list[Tensor]:
        """Steps (R * C, 2) in pixels: in a square of twice the reach, then ever smaller ones."""
        steps, reach_px = [], self._reach_px
        while reach_px >= LEAST_STEP_PX:
            unit = torch.rand(len(self._centres), 2, generator=random) * 2 - 1
            steps.append((unit * (reach_px * self._scale)).to(device))
            reach_px /= 2
        return steps

    def _pull(self, apart: Tensor) -> Tensor:
        """What a distance (N, 2) from the flow costs."""
        pixels = torch.linalg.vector_norm(apart, dim=-1) / self._scale
        return TO_FLOW * pixels.clamp(max=FARTHEST * self._reach_px)

    def _on_grid(self, flow: Array) -> Tensor:
        """Flow (R * C, 2) at the pixel that is nearest to each cell's centre."""
        columns, rows = self._centres.round().long().cpu().numpy().T
        return torch.from_numpy(np.asarray(flow, np.float32)[rows, columns]).to(self._centres.device)

    def _laid_over(self, flow: Array, found: Tensor, changed: Tensor) -> Array:
        """The flow, with what was found in the pixels of the cells that changed."""
        rows = np.arange(self._size[1]) * self._rows // self._size[1]
        columns = np.arange(self._size[0]) * self._columns // self._size[0]
        cells = rows[:, None] * self._columns + columns
        return np.where(changed.cpu().numpy()[cells][..., None], found.cpu().numpy()[cells], flow).astype(np.float32)


def _cosines(descriptors: Tensor, target: Tensor, cells: Tensor) -> Tensor:
    """Of descriptors (N, C) with those in cells (N,) of a map: (N,) float32."""
    return (descriptors * target.index_select(0, cells)).sum(1, dtype=torch.float32)
