"""Flow corrected by appearance: a search among descriptors around a given flow.

Every place of a grid searches for the displacement d that maximises

    s(d) - TO_FLOW |d - f|

with s the cosine of the descriptors at both ends, f the given flow, and the distance in pixels at 256 x 256, bounded.
It tries the displacements of other places, near and farther away, and ever smaller random steps from its own; the
places of a finer grid then try the displacements that the coarse places around them have found. A displacement replaces
the flow if its cosine is higher by a margin, and if no other position around the place matches the target found as well
as the place does: among similar objects, no match is trusted. Where the cosine of the flow leaves no room for that
margin, there is no search. Nothing makes neighbours agree: where no match exists, as in occluded regions, results
differ from place to place, and the cycle check rejects them.

Pixels and displacements are (2, N), as in `comparing.py`, which contains the hot operations.

Source:
    Barnes et al., PatchMatch: A Randomized Correspondence Algorithm for Structural Image Editing, SIGGRAPH 2009; with
    descriptors instead of patches, and all places of the grid updated at the same time.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from omnitrack.correspondence.descriptors.comparing import Cells, Offers, comparing_on
from omnitrack.correspondence.raster import Array
from omnitrack.units import raster_scale

TO_FLOW = 0.002  # cosine per px of distance from the flow, at 256 x 256
FARTHEST = 4.0  # times the reach: larger distances from the flow cost no more
COARSER = 2  # spacing of the coarse grid, which searches first, relative to the fine grid
ROUNDS = ((2, 8), (1, 4), (2, 8))  # distances, in cells of the coarse grid, of the places whose displacements are tried
LEAST_STEP_PX = 0.4  # at 256 x 256: lower bound on the reach of random steps
FINE_STEPS_PX = (2.0, 1.0)  # at 256 x 256: reaches of the random steps of the fine grid
BACK_STEP_PX = 2.0  # at 256 x 256: spacing of the offsets of the backward check, which extend to the reach
LEAST_BACK_PX, LEAST_BACK_CELLS = 2.5, 2.0  # at 256 x 256, in cells: offsets up to the larger are the same position
SEED = 0  # seed of the random steps, which are the same for every pair


class _Grid:
    """Places evenly spread over frames of one size.

    Args:
        size: (width, height) of the frames in pixels.
        points: Largest number of places.
        cells: Cells of the maps: each place is at the centre of a cell, whose descriptor it searches for.

    Attributes:
        columns: Number of columns of places.
        rows: Number of rows of places.
        places: (2, rows * columns) pixels, row by row.
    """

    def __init__(self, size: tuple[int, int], points: float, cells: Cells) -> None:
        share, device = min(1.0, (points / (size[0] * size[1])) ** 0.5), cells.length.device
        self.columns, self.rows = (max(1, round(length * share)) for length in size)
        x = (torch.arange(self.columns, device=device) + 0.5) * size[0] / self.columns - 0.5
        y = (torch.arange(self.rows, device=device) + 0.5) * size[1] / self.rows - 0.5
        self.places = cells.centres(torch.stack(torch.meshgrid(x, y, indexing="xy")).flatten(1))

    def sample(self, flow: Array) -> Tensor:
        """Return the flow (2, rows * columns) at the pixel nearest to each place."""
        columns, rows = self.places.round().long().cpu().numpy()
        return torch.from_numpy(np.asarray(flow, np.float32)[rows, columns].T.copy()).to(self.places.device)

    def around(self, columns: int, rows: int) -> Tensor:
        """Return the indices (rows * columns,) of the places that represent the cells of a finer raster, row by row."""
        device = self.places.device
        x = torch.arange(columns, device=device) * self.columns // columns
        y = torch.arange(rows, device=device) * self.rows // rows
        return (y[:, None] * self.columns + x).flatten()

    def shifted(self, values: Tensor, rows: int, columns: int) -> Tensor:
        """Give each place the value, of values (2, R * C), of the place `rows` and `columns` before it, cyclically."""
        return torch.roll(values.view(2, self.rows, self.columns), (rows, columns), (1, 2)).view(2, -1)


class DescriptorSearch:
    """Corrects flow between frames of one size.

    Args:
        size: (width, height) of the frames in pixels.
        map_size: (width, height) of the maps of descriptors, which cover the frames.
        grid_points: Largest number of places that search: in larger frames a place represents several pixels.
        reach_px: Reach of the first random step, at 256 x 256.
        margin: Gain in cosine over the position where the flow leads that a correction needs.
        device: Device of the maps.

    Attributes:
        scale: Pixels of the frames per px at 256 x 256.
        reach_px: Reach of the first random step, at 256 x 256.
        cells: Cells of the maps.
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
        self._margin, self._comparing = margin, comparing_on(torch.device(device).type)
        self.scale, self.reach_px = raster_scale(size), reach_px
        self.cells = Cells(size, map_size, device)
        self._end = torch.tensor(size, device=device)[:, None] - 0.5
        self._grid = _Grid(size, grid_points, self.cells)
        self._coarse = _Grid(size, self._grid.columns * self._grid.rows / COARSER**2, self.cells)
        self._parents = self._coarse.around(self._grid.columns, self._grid.rows)
        self._pixels = self._grid.around(*size).view(size[1], size[0]).cpu().numpy()
        random = torch.Generator().manual_seed(SEED)
        halvings = range(1 + math.floor(math.log2(max(1.0, reach_px / LEAST_STEP_PX))))
        coarse_px = [reach_px / 2**halving for halving in halvings]
        self._coarse_steps = [[self._random_step(self._coarse, px, random) for px in coarse_px] for _ in ROUNDS]
        self._steps = [self._random_step(self._grid, px, random) for px in FINE_STEPS_PX]
        along = torch.arange(-reach_px, reach_px + 1e-3, BACK_STEP_PX, device=device) * self.scale
        around = torch.stack(torch.meshgrid(along, along, indexing="xy")).flatten(1)
        same = max(LEAST_BACK_PX * self.scale, LEAST_BACK_CELLS * float(self.cells.length.max()))
        away = torch.hypot(*around)
        nearest_first = away.argsort(stable=True)  # nearby matches are the likeliest
        self._around = around[:, nearest_first[away[nearest_first] > same]].T[..., None]  # (n, 2, 1)

    def correct(self, source: Tensor, target: Tensor, flow: Array) -> Array:
        """Return the flow (H, W, 2), corrected where a better match is found.

        Args:
            source: (h * w, C) descriptors of the source frame, row by row, in steps (`comparing.in_steps`).
            target: (h * w, C) descriptors of the target frame, in the same form.
            flow: From source to target, in pixels.

        Returns:
            (H, W, 2) float32; the given values where no better match is found.
        """
        rough = self._searched_coarsely(source, target, self._coarse.sample(flow))
        found, places = self._grid.sample(flow), self._grid.places
        own = self._comparing.own(self.cells, source, places)
        here = self._cosines(own, target, places + found)
        doubtful = self._doubtful(here)
        best, parents = self._looking(own, target, places, found, doubtful), self._parents[doubtful]
        for shift in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            self._offer(best, self._coarse.shifted(rough, *shift)[:, parents])
        for step in self._steps:
            self._offer(best, best.displacements + step[:, doubtful])
        better = self._cosines(best.own, target, best.places + best.displacements) > here[doubtful] + self._margin
        places, displacements = best.places[:, better], best.displacements[:, better]
        there = self._comparing.own(self.cells, target, places + displacements)
        mutual = self._comparing.none_more_alike(self.cells, there, source, places, self._around, self._end)
        places, displacements = places[:, mutual], displacements[:, mutual]
        changed = doubtful[better][mutual]
        found[:, changed] = self._between_cells(best.own[better][mutual], target, places, displacements)
        return self._laid_over(flow, found, changed)

    def _searched_coarsely(self, source: Tensor, target: Tensor, near: Tensor) -> Tensor:
        """Return the displacements (2, R * C) that the coarse grid finds around the displacements `near`."""
        found, places = near.clone(), self._coarse.places
        own = self._comparing.own(self.cells, source, places)
        doubtful = self._doubtful(self._cosines(own, target, places + near))
        best = self._looking(own, target, places, near, doubtful)
        for hops, steps in zip(ROUNDS, self._coarse_steps, strict=True):
            for hop in hops:
                for shift in ((hop, 0), (-hop, 0), (0, hop), (0, -hop)):
                    self._offer(best, self._coarse.shifted(found, *shift)[:, doubtful])
                    found[:, doubtful] = best.displacements
            for step in steps:
                self._offer(best, best.displacements + step[:, doubtful])
            found[:, doubtful] = best.displacements
        return found

    def _looking(self, own: Tensor, target: Tensor, places: Tensor, near: Tensor, which: Tensor) -> Offers:
        """Return the offers of the places `which`, with their near displacements as the best so far."""
        own, places, near = own[which], places[:, which], near[:, which]
        return Offers(own, target, places, near, near.clone(), self._cosines(own, target, places + near))

    def _offer(self, best: Offers, displacements: Tensor) -> None:
        self._comparing.offer(
            self.cells, best, displacements, TO_FLOW / self.scale, FARTHEST * self.reach_px * self.scale
        )

    def _cosines(self, own: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
        return self._comparing.cosines(self.cells, own, target, pixels)

    def _doubtful(self, cosines: Tensor) -> Tensor:
        """Return the indices of the places whose cosine can still rise by the margin."""
        return (cosines < 1 - self._margin).nonzero()[:, 0]

    def _between_cells(self, own: Tensor, target: Tensor, places: Tensor, displacements: Tensor) -> Tensor:
        """Refine displacements (2, N) to the vertices of parabolas through the cosines of adjacent cells of the map."""
        moved = self.cells.centres(places + displacements) - places

        def alike(step: Tensor) -> Tensor:
            return self._cosines(own, target, places + moved + step)

        none = torch.zeros_like(self.cells.length)
        here, tops = alike(none), torch.zeros_like(moved)
        for axis in (0, 1):
            step = none.clone()
            step[axis] = self.cells.length[axis]
            before, after = alike(-step), alike(step)
            bend = 2 * here - before - after
            tops[axis] = ((after - before) / (2 * bend)).where(bend > 0, 0).clamp(-0.5, 0.5) * step[axis]
        return moved + tops

    def _random_step(self, grid: _Grid, reach_px: float, random: torch.Generator) -> Tensor:
        """Return a random step (2, R * C) in pixels for every place of a grid, in a square of twice the reach."""
        unit = torch.rand(grid.places.shape, generator=random) * 2 - 1
        return (unit * (reach_px * self.scale)).to(grid.places.device)

    def _laid_over(self, flow: Array, found: Tensor, changed: Tensor) -> Array:
        """Return the flow, with the found displacements (2, R * C) in the cells of the places (N,) that changed."""
        is_changed = torch.zeros(found.shape[1], dtype=torch.bool, device=found.device)
        is_changed[changed] = True
        is_here = is_changed.cpu().numpy()[self._pixels][..., None]
        laid = np.where(is_here, found.T.cpu().numpy()[self._pixels], flow)
        return laid.astype(np.float32)
