"""Chains of a whole frame of points, corrected by a grid whose lost places were found again.

To ask the company of every point (`recovery.py`) takes a millisecond per point. Where all points of a frame are
chained, only the coarse grid asks, and its places carry the points around them. A point follows one of the grid places
next to it that moved with it (`company.py`), by the map of that place's surroundings. Where the chain has lost the
point, or sees it elsewhere, it is found again at the position that this predicts, if its appearance matches there. If
it matches at neither position, the chain has slid onto something else, and the point is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from omnitrack.correspondence.chaining import ChainState, start_state
from omnitrack.correspondence.company import COMPARED_FRAMES, NONE, Seen, company
from omnitrack.correspondence.raster import Array, CoarseGrid, inside, lengths
from omnitrack.correspondence.recovery import (
    FOUND_ALIKE,
    LEAST_ALIKE,
    LEAST_CONTRAST,
    LIKE_MARGIN,
    OFF_PX,
    Recovery,
    taken_up,
)
from omnitrack.units import raster_scale

BESIDE = 5  # grid places that a point may follow: the nearest one, and those beside it


class GridCorrection:
    """Corrects the states of points of one source frame.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        recovery: Follows the grid.
        source: Frame of the points.
        pixels: (P, 2) float32 positions in the source frame.
        chained: States of the points in other frames. Motions are compared in those next to the source.
    """

    def __init__(self, recovery: Recovery, source: int, pixels: Array, chained: Mapping[int, ChainState]) -> None:
        self._grid, self._patches, self._size = recovery.followed_grid(source), recovery.patches, recovery.flows.size
        self._pixels, self._look = pixels, recovery.patches.patches(source, pixels)
        self._rough = self._patches.contrast(self._look) > LEAST_CONTRAST
        near = [
            t for t in recovery.reach(source) if abs(t - source) <= COMPARED_FRAMES and (t == source or t in chained)
        ]
        of_grid = [t - recovery.reach(source).start for t in near]
        states = [start_state(pixels) if t == source else chained[t] for t in near]
        own = Seen(np.stack([state.pixels for state in states], 1), np.stack([state.visible for state in states], 1))
        grid = Seen(self._grid.plain.pixels[:, of_grid], self._grid.plain.visible[:, of_grid])
        self._company = company(near.index(source), own, grid, BESIDE, self._size)

    def of(self, frame: int, state: ChainState) -> ChainState:
        """The corrected state of the points in a frame; unchanged beyond the reach of the grid."""
        if frame not in self._grid.speaks:
            return state
        there = (self._company != NONE) & self._grid.speaks[frame][self._company]
        rows = np.flatnonzero(there.any(1) & self._rough)
        followed = self._company[rows, there[rows].argmax(1)]
        maps = self._grid.maps[frame][followed]
        offsets = self._pixels[rows] - CoarseGrid.of(self._size).pixels[followed]
        places = self._grid.pixels[frame][followed] + (maps @ offsets[..., None])[..., 0]
        lost = ~state.visible[rows]
        off = lengths(places - state.pixels[rows]) / raster_scale(self._size)
        doubtful = np.flatnonzero(inside(places, self._size) & (lost | (off > OFF_PX)))
        if not len(doubtful):
            return state
        rows, places, maps, lost = rows[doubtful], places[doubtful], maps[doubtful], lost[doubtful]
        here, predicted = (
            self._patches.compare(self._look[rows], self._patches.patches(frame, at, maps))
            for at in (state.pixels[rows], places)
        )
        found = (predicted > FOUND_ALIKE) & (lost | (predicted > here + LIKE_MARGIN))
        slid = np.zeros(len(state.visible), bool)
        slid[rows[~lost & ~found & (here < LEAST_ALIKE)]] = True
        state = replace(state, visible=state.visible & ~slid, reliable=state.reliable & ~slid)
        return taken_up(state, rows[found], places[found])
