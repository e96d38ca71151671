"""Where the company of a point says that it is: an affine map that most of it agrees with.

The grid places that moved with a point around its source frame (`company.py`) are followed frame by frame by whoever
asks; those that are seen, and look like themselves, may speak. They say how the point's surroundings have turned, and
where a point must be that is not seen. Company that had parted from a point before that was lost says nothing.
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
LEAST_COMPANY, MOST_COMPANY = 6, 64  # grid places that speak for a point
LEAST_NEAR = 3  # ... for how it has turned
AGREED_PX = 1.5  # distance of a place from where the common map takes it
LEAST_AGREED = 0.7  # share of them
PARTED_PX = 3.0  # from where a point was seen last, company has left it

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """What company is sure of.

    Attributes:
        rows: (n,) of the points.
        maps: (n, 2, 2) from an offset in the source frame to that in this one.
        places: (n, 2) pixels of the points.
        company: (n, K) grid places, and which of them have spoken.
    """

    rows: Indices
    maps: Array
    places: Array
    company: tuple[Indices, Bools]

    def of(self, which: Bools) -> Verdict:
        """Of some of the points (n,)."""
        index, there = self.company
        return Verdict(self.rows[which], self.maps[which], self.places[which], (index[which], there[which]))


class CompanyVote:
    """What their company says of P points of a source frame, going outward from it.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        source: Frame of the points, counted in those of `points`.
        points: They, by the flow alone.
        grid: The source frame's grid places (`CoarseGrid`) likewise.
        size: (width, height) of the frames in pixels.

    Attributes:
        unturned: (P, 2, 2) the maps in the source frame.
        last_seen: (P,) frames from the source to where each point was seen last.
    """

    def __init__(self, source: int, points: Seen, grid: Seen, size: tuple[int, int]) -> None:
        self._source, self._points, self._grid, self._size = source, points, grid, size
        self._pixels, self._grid_pixels = points.pixels[:, source], CoarseGrid.of(size).pixels
        self._near = company(source, points, grid, NEAR, size)
        self.unturned = np.broadcast_to(np.eye(2, dtype=np.float32), (len(self._pixels), 2, 2))
        self._wide: dict[int, Indices] = {}
        self.set_out()

    def set_out(self) -> None:
        """Begin in the source frame, where every point was seen and everything may speak."""
        self._heard = [(self._grid_pixels, np.ones(len(self._grid_pixels), bool))]
        self.last_seen, self._last_pixels = np.zeros(len(self._pixels), int), self._pixels.copy()

    def hear(self, places: Array, may_speak: Bools) -> None:
        """Go on to the next frame: the grid's places (G, 2) there, and which of them may speak (G,)."""
        self._heard.append((places, may_speak))

    def saw(self, which: Bools, pixels: Array) -> None:
        """Which of the points (P,) are seen in this frame, of pixels (P, 2)."""
        self.last_seen[which], self._last_pixels[which] = len(self._heard) - 1, pixels[which]

    def turned(self, before: Array) -> Array:
        """(P, 2, 2) the maps of the nearest company, or those before where there is too little of it."""
        places, may_speak = self._heard[-1]
        there = (self._near != NONE) & may_speak[self._near]
        fitted = self._fitted(slice(None), self._near, places[self._near], there, before, rounds=2)
        known = (there.sum(1) >= LEAST_NEAR) & fitted.sane
        return np.where(known[:, None, None], fitted.maps, before)

    def verdict(self, rows: Indices, before: Array) -> Verdict:
        """Where some of the points must be, of which there is enough company that agrees; `before` (n, 2, 2) maps."""
        places, may_speak = self._heard[-1]
        index, there = self._speaking(rows, may_speak)
        enough = there.sum(1) >= LEAST_COMPANY
        rows, index, there, before = rows[enough], index[enough], there[enough], before[enough]
        if not len(rows):
            return Verdict(rows, before, np.empty((0, 2), np.float32), (index, there))
        fitted = self._fitted(rows, index, places[index], there, before)
        agreed = (there & (fitted.residual < AGREED_PX)).sum(1)
        sure = (agreed >= LEAST_COMPANY) & (agreed > LEAST_AGREED * there.sum(1))
        sure &= fitted.sane & inside(fitted.places, self._size)
        return Verdict(rows, fitted.maps, fitted.places, (index, there)).of(sure)

    def parted(self, verdict: Verdict) -> Bools:
        """Whether the company had left the points (n,) of a verdict where they were last seen: then it says nothing."""
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
        """Whether another thing of the source frame is seen at the places (n,) of a verdict.

        A grid place that may speak, a step of the grid from there at most, which their map takes farther away.
        """
        places, may_speak = self._heard[-1]
        there, came_from = places[may_speak], self._grid_pixels[may_speak]
        step = CoarseGrid.of(self._size).stride
        occupied = np.zeros(len(verdict.rows), bool)
        for nth, (row, turn, place) in enumerate(zip(verdict.rows, verdict.maps, verdict.places, strict=True)):
            near = lengths(there - place) < step
            taken = place + (came_from[near] - self._pixels[row]) @ turn.T
            occupied[nth] = (lengths(there[near] - taken) > step).any()
        return occupied

    def _fitted(
        self, rows: Indices | slice, index: Indices, places: Array, there: Bools, before: Array, rounds: int = 4
    ) -> LocalMaps:
        """Maps of some points by their company (n, K) at places (n, K, 2)."""
        offsets = self._grid_pixels[index] - self._pixels[rows, None]
        return fit_local_maps(offsets, places, there.astype(np.float32), before, self._size, rounds)

    def _speaking(self, rows: Indices, may_speak: Bools) -> tuple[Indices, Bools]:
        """Of some points the company that may speak, nearest first, and which entries are any."""
        new = [row for row in rows.tolist() if row not in self._wide]
        if new:
            part = Seen(self._points.pixels[new], self._points.visible[new])
            self._wide.update(zip(new, company(self._source, part, self._grid, WIDE, self._size), strict=True))
        index = np.array([self._wide[row] for row in rows.tolist()], np.int64).reshape(len(rows), WIDE)
        there = (index != NONE) & may_speak[index]
        order = np.argsort(~there, axis=1, kind="stable")[:, :MOST_COMPANY]
        return np.take_along_axis(index, order, 1), np.take_along_axis(there, order, 1)
