"""The position that a point's company predicts: an affine map that most of it agrees with.

Company: the grid places that moved with the point around its source frame (`company.py`). The caller follows them frame
by frame; those that are visible and match their appearance may vote. They give how the point's surroundings have
turned, and where an occluded point must be. Company that had parted from a point before it was lost has no vote.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.company import NEAR, NONE, WIDE, Indices, Seen, company
from omnitrack.correspondence.local_maps import LocalMaps, fit_local_maps
from omnitrack.correspondence.raster import Array, CoarseGrid, inside, lengths
from omnitrack.units import raster_scale

# All lengths at 256 x 256.
LEAST_COMPANY, MOST_COMPANY = 6, 64  # grid places that vote on a point
LEAST_NEAR = 3  # ... on how its surroundings have turned
AGREED_PX = 1.5  # a place agrees if it is nearer than this to where the common map takes it
LEAST_AGREED = 0.7  # share of the voting places that agree
BLOCK = 200  # points at a time
PARTED_PX = 3.0  # company has left a point if its prediction is this far from where the point was last visible

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """Predictions for n points whose company agrees.

    Attributes:
        rows: (n,) indices of the points.
        maps: (n, 2, 2) from an offset in the source frame to the offset in the current frame.
        places: (n, 2) predicted pixels of the points.
        company: (n, K) grid places, and (n, K) which of them have voted.
    """

    rows: Indices
    maps: Array
    places: Array
    company: tuple[Indices, Bools]

    def of(self, which: Bools) -> Verdict:
        """The verdict on some of the points, by a mask (n,)."""
        index, there = self.company
        return Verdict(self.rows[which], self.maps[which], self.places[which], (index[which], there[which]))


class CompanyVote:
    """Predicts P points of a source frame by their company, frame by frame, going outward from it.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        source: Frame of the points, an index into the frames of `points`.
        points: Tracks of the points according to the flow alone.
        grid: Tracks of the source frame's grid places (`CoarseGrid`) according to the flow alone.
        size: (width, height) of the frames in pixels.

    Attributes:
        unturned: (P, 2, 2) the maps in the source frame: identity.
        last_seen: (P,) number of frames from the source to the one in which each point was last visible.
    """

    def __init__(self, source: int, points: Seen, grid: Seen, size: tuple[int, int]) -> None:
        self._source, self._points, self._grid, self._size = source, points, grid, size
        self._pixels, self._grid_pixels = points.pixels[:, source], CoarseGrid.of(size).pixels
        self._near = company(source, points, grid, NEAR, size)
        self.unturned = np.broadcast_to(np.eye(2, dtype=np.float32), (len(self._pixels), 2, 2))
        self._wide, self._wide_row = np.empty((0, WIDE), np.int64), np.full(len(self._pixels), NONE)
        self.set_out()

    def set_out(self) -> None:
        """Begin in the source frame, where every point is visible and every grid place may vote."""
        self._heard = [(self._grid_pixels, np.ones(len(self._grid_pixels), bool))]
        self.last_seen, self._last_pixels = np.zeros(len(self._pixels), int), self._pixels.copy()

    def hear(self, places: Array, may_speak: Bools) -> None:
        """Advance to the next frame, with the grid's places (G, 2) in it, and which of them may vote (G,)."""
        self._heard.append((places, may_speak))

    def saw(self, which: Bools, pixels: Array) -> None:
        """Record which points (P,) are visible in the current frame, at pixels (P, 2)."""
        self.last_seen[which], self._last_pixels[which] = len(self._heard) - 1, pixels[which]

    def turned(self, before: Array) -> Array:
        """The maps (P, 2, 2) of the nearest company; those in `before` where it is too small or its map is not sane."""
        places, may_speak = self._heard[-1]
        there = (self._near != NONE) & may_speak[self._near]
        fitted = self._fitted(slice(None), self._near, np.take(places, self._near, axis=0), there, before, rounds=2)
        known = (there.sum(1) >= LEAST_NEAR) & fitted.sane
        return np.where(known[:, None, None], fitted.maps, before)

    def verdict(self, rows: Indices, before: Array) -> Verdict:
        """Predict some of the points, if enough of their company agrees; `before`: their previous maps (n, 2, 2)."""
        places, may_speak = self._heard[-1]
        index, there = self._speaking(rows, may_speak)
        enough = there.sum(1) >= LEAST_COMPANY
        rows, index, there, before = rows[enough], index[enough], there[enough], before[enough]
        if not len(rows):
            return Verdict(rows, before, np.empty((0, 2), np.float32), (index, there))
        fitted = self._fitted(rows, index, np.take(places, index, axis=0), there, before)
        agreed = (there & (fitted.residual < AGREED_PX)).sum(1)
        sure = (agreed >= LEAST_COMPANY) & (agreed > LEAST_AGREED * there.sum(1))
        sure &= fitted.sane & inside(fitted.places, self._size)
        return Verdict(rows, fitted.maps, fitted.places, (index, there)).of(sure)

    def parted(self, verdict: Verdict) -> Bools:
        """Whether the company of each point (n,) of a verdict had left it when last visible, and so has no vote."""
        rows, (index, there) = verdict.rows, verdict.company
        places, spoke, last = np.empty((*index.shape, 2), np.float32), np.zeros(index.shape, bool), self.last_seen[rows]
        for nth in np.unique(last).tolist():
            of = last == nth
            places[of], spoke[of] = (values[index[of]] for values in self._heard[nth])
        both = there & spoke
        fitted = self._fitted(rows, index, places, both, self.unturned[rows])
        off = lengths(fitted.places - self._last_pixels[rows]) / raster_scale(self._size)
        return np.asarray((off >= PARTED_PX) & (both.sum(1) >= LEAST_NEAR))

    def occupied(self, verdict: Verdict) -> Bools:
        """Whether another object of the source frame is visible at the places (n,) of a verdict.

        It is if a grid place that may vote is within a step of the grid from there, and the point's map takes that
        grid place to a position more than a step away from its own.
        """
        places, may_speak = self._heard[-1]
        there, came_from = places[may_speak], self._grid_pixels[may_speak]
        step, occupied = CoarseGrid.of(self._size).stride, np.zeros(len(verdict.rows), bool)
        for first in range(0, len(occupied), BLOCK):
            block = slice(first, first + BLOCK)
            place, turn, start = verdict.places[block], verdict.maps[block], self._pixels[verdict.rows[block]]
            point, near = np.nonzero(lengths(there - place[:, None]) < step)
            taken = place[point] + (turn[point] @ (came_from[near] - start[point])[..., None])[..., 0]
            occupied[first + point[lengths(there[near] - taken) > step]] = True
        return occupied

    def _fitted(
        self, rows: Indices | slice, index: Indices, places: Array, there: Bools, before: Array, rounds: int = 4
    ) -> LocalMaps:
        """Fit the maps of some points to their company (n, K) at pixels (n, K, 2)."""
        offsets = np.take(self._grid_pixels, index, axis=0) - self._pixels[rows, None]
        return fit_local_maps(offsets, places, there.astype(np.float32), before, self._size, rounds)

    def _speaking(self, rows: Indices, may_speak: Bools) -> tuple[Indices, Bools]:
        """The nearest company of some points that may vote (n, `MOST_COMPANY`), and which of the entries are any."""
        index = self._wide_company(rows)
        voters = np.take(np.append(may_speak, False), index)  # False for `NONE`
        point, column = np.nonzero(voters)
        count = voters.sum(1)
        rank = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count)
        nearest = rank < MOST_COMPANY
        found = np.full((len(rows), MOST_COMPANY), NONE)
        found[point[nearest], rank[nearest]] = index[point[nearest], column[nearest]]
        return found, found != NONE

    def _wide_company(self, rows: Indices) -> Indices:
        """All company of some points, nearest first (n, `WIDE`); asked for a point once."""
        new = rows[self._wide_row[rows] == NONE]
        if len(new):
            part = Seen(self._points.pixels[new], self._points.visible[new])
            self._wide_row[new] = len(self._wide) + np.arange(len(new))
            self._wide = np.concatenate([self._wide, company(self._source, part, self._grid, WIDE, self._size)])
        return np.take(self._wide, self._wide_row[rows], axis=0)
