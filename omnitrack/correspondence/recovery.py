"""Points that a chain has lost, found again by their company: grid places that moved with them.

Going outward from a source frame, a regular grid of its places is followed along with the queried points. Where a point
is lost, or its appearance does not match, its company predicts its position by an affine map (`company.py`,
`company_vote.py`): the grid places that moved with it before and are visible now, unless they had parted from it before
it was lost. The chain resumes from the predicted position if the point's appearance matches there under that map, and
still matches one hop later, in the next frame. It then continues like any other chain, as long as the appearance
matches. Otherwise the point is at the predicted position, but occluded. It is also occluded there if the chain sees it
elsewhere with an appearance that does not match: the chain has slid onto the occluder. Where grid places of another
object are visible at that position, the point is certainly covered. A grid place that was found again votes for others
in turn. So an object that passes behind something narrower than itself is carried across: the side that has emerged is
found by the side that is still to go in.

Points are found by grid places only, so results do not depend on other queries. The grid is followed for
`REACH_FRAMES`, which bounds memory and time in long clips; beyond, chains continue by themselves.

Source:
    The vote of features for an affine pose: Lowe, Distinctive Image Features, IJCV 2004, section 7; here the features
    are tracks, and the pose is local.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.chained_tracks import chained_states
from omnitrack.correspondence.chaining import CAUTIOUS, Amend, ChainState, HopPrices, Similarity
from omnitrack.correspondence.company import COMPARED_FRAMES, Indices, Seen
from omnitrack.correspondence.company_vote import CompanyVote
from omnitrack.correspondence.consistency import take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import Array, CoarseGrid, lengths
from omnitrack.correspondence.warped_patches import WarpedPatches
from omnitrack.units import raster_scale

REACH_FRAMES = 128  # before and after the source frame: farther away, most of its grid is lost
# All lengths at 256 x 256.
ALIKE = 0.5  # least similarity of a place that votes for others
FOUND_ALIKE = 0.8  # ... of a position where a point is found again
NEXT_ALIKE = 0.7  # ... one frame later
STILL_ALIKE = 0.6  # ... in all later frames: below, it is lost again
LEAST_ALIKE = 0.2  # ... of a position that stays visible although its company contradicts it
LEAST_CONTRAST = 6.0  # levels of 0 to 255: with less, nothing distinguishes positions
OFF_PX = 3.0  # a visible point farther than this from its prediction is contradicted
LIKE_MARGIN = 0.2  # by which the predicted position must then be more similar
FOUND_COST, FOUND_VARIANCE_PX2, FOUND_DOUBT = 5.0, 0.25, 0.3  # of the state that a chain resumes from
AROUND = np.array([(x, y) for y in (-1, 0, 1) for x in (-1, 0, 1)], np.float32)  # offsets tried, px


class Recovery:
    """Follows points of a clip's frames, and finds lost points again.

    Args:
        flows: Pairwise flow.
        frames: The T frames.
        num_frames: T.
        gaps: Lengths of the hops.
        threshold_px: Largest cycle error of a visible point, at 256 x 256.
        prices: Costs of the hops.
        reach_frames: Frames before and after the source frame in which points are searched for.
    """

    def __init__(
        self,
        flows: FlowSource,
        frames: BlurredFrames,
        num_frames: int,
        gaps: Sequence[int],
        threshold_px: float,
        prices: HopPrices = CAUTIOUS,
        reach_frames: int = REACH_FRAMES,
    ) -> None:
        self.flows, self.num_frames, self.gaps = flows, num_frames, gaps
        self.threshold_px, self.prices = threshold_px, prices
        self.patches = WarpedPatches(frames)
        self._reach_frames = reach_frames
        self._grid: tuple[int, FollowedGrid] | None = None  # of the last source frame

    def follow(
        self,
        source: int,
        pixels: Array,
        similarity: Similarity | None = None,
        grid_of: Callable[[int], FollowedGrid | None] | None = None,
    ) -> list[ChainState]:
        """States in all T frames of points (P, 2) of a frame.

        Points that are visible with a matching appearance in all frames within reach stay unchanged. If there are no
        other points, no grid is followed.

        Args:
            source: The frame.
            pixels: (P, 2) their positions.
            similarity: As in `chaining.chain`.
            grid_of: Returns the followed grid of the frame, or None to leave all points as they are; by default, the
                grid is followed now.
        """
        frames = range(self.num_frames)
        plain = self.chain(source, pixels, frames, similarity)
        lost = np.flatnonzero(self._lost(source, pixels, plain))
        if not len(lost):
            return plain
        grid = (grid_of or self.last_grid)(source)
        if grid is None:
            return plain
        of_lost = None if similarity is None else _for_rows(similarity, lost)
        near = [_rows_of(plain[t], lost) for t in self.reach(source)]
        points = _Points(self, source, pixels[lost], near, grid.plain, of_lost)
        found = points.follow(frames, lambda t, state, alike: (grid.pixels[t], grid.speaks[t]))
        return [_with_rows(state, lost, part) for state, part in zip(plain, found, strict=True)]

    def chain(
        self, source: int, pixels: Array, frames: range, similarity: Similarity | None, amend: Amend | None = None
    ) -> list[ChainState]:
        """States in frames around the source, each changed by `amend` before the chain continues."""
        return chained_states(
            self.flows, source, pixels, frames, self.gaps, self.threshold_px, similarity, self.prices, amend
        )

    def reach(self, source: int) -> range:
        """The frames in which points of a source frame are searched for."""
        return range(max(0, source - self._reach_frames), min(self.num_frames, source + self._reach_frames + 1))

    def _lost(self, source: int, pixels: Array, plain: Sequence[ChainState]) -> NDArray[np.bool_]:
        """Which points are not visible, or do not match their appearance, in some frame within reach."""
        look = self.patches.patches(source, pixels)
        lost, rough = np.zeros(len(pixels), bool), self.patches.contrast(look) > LEAST_CONTRAST
        for t in self.reach(source):
            alike = self.patches.compare(look, self.patches.patches(t, plain[t].pixels))
            lost |= ~plain[t].visible | (rough & (alike < LEAST_ALIKE))
        return lost

    def last_grid(self, source: int) -> FollowedGrid:
        """The followed grid of a source frame; the last one is kept."""
        kept = self._grid  # local to this call: other threads may replace it
        if kept is None or kept[0] != source:
            self._grid = kept = source, self.followed_grid(source)
        return kept[1]

    def followed_grid(self, source: int) -> FollowedGrid:
        """The grid of a source frame (`CoarseGrid`), with places found again by each other."""
        pixels, frames = CoarseGrid.of(self.flows.size).pixels, self.reach(source)
        points = _Points(self, source, pixels, self.chain(source, pixels, frames, None), None, None)
        speaks: dict[int, NDArray[np.bool_]] = {source: np.ones(len(pixels), bool)}
        states = points.follow(frames, lambda t, state, alike: (state.pixels, state.visible & alike), speaks)
        found = {t: state.pixels for t, state in zip(frames, states, strict=True)}
        return FollowedGrid(points.plain, found, speaks, points.maps)


@dataclass(frozen=True)
class FollowedGrid:
    """A source frame's grid of G places in the frames within reach.

    Attributes:
        plain: Their tracks by the flow alone.
        pixels: (G, 2) in each frame, with places found again.
        speaks: (G,) in each frame: which places are visible and match their appearance, and so may vote.
        maps: (G, 2, 2) in each frame: from an offset in the source frame to the offset in that frame.
    """

    plain: Seen
    pixels: dict[int, Array]
    speaks: dict[int, NDArray[np.bool_]]
    maps: dict[int, Array]

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        arrays = [self.plain.pixels, self.plain.visible]
        for of_frames in (self.pixels, self.speaks, self.maps):
            arrays += of_frames.values()
        return sum(array.nbytes for array in arrays)


Speakers = Callable[[int, ChainState, NDArray[np.bool_]], tuple[Array, NDArray[np.bool_]]]


class _Points:
    """Points of a source frame; `plain`: states within reach by the flow alone; `grid` None: they are the grid."""

    def __init__(
        self,
        clip: Recovery,
        source: int,
        pixels: Array,
        plain: Sequence[ChainState],
        grid: Seen | None,
        similarity: Similarity | None,
    ) -> None:
        self._clip, self._source, self._pixels, self._similarity = clip, source, pixels, similarity
        self._size, self._frames = clip.flows.size, clip.reach(source)
        self._look = clip.patches.patches(source, pixels)
        self._rough = clip.patches.contrast(self._look) > LEAST_CONTRAST
        self.plain = self._seen(plain)
        self._vote = CompanyVote(source - self._frames.start, self.plain, grid or self.plain, self._size)
        self.maps = {source: self._vote.unturned}
        self._passed: list[ChainState] = []  # outward from the source frame

    def follow(
        self, frames: range, speakers: Speakers, speaks: dict[int, NDArray[np.bool_]] | None = None
    ) -> list[ChainState]:
        """States in frames; `speakers` returns the grid's places in a frame within reach, and which may vote."""

        def amend(t: int, state: ChainState) -> ChainState:
            if t not in self._frames:  # no company supports points found again any more
                return replace(state, found_again=np.zeros_like(state.found_again))
            if abs(t - self._source) == 1:
                self._vote.set_out()
                self._passed = []
            before = self.maps[t - 1 if t > self._source else t + 1]
            self._vote.hear(*speakers(t, state, self._alike(t, state.pixels, before) > ALIKE))
            self.maps[t] = maps = self._vote.turned(before)
            alike = self._alike(t, state.pixels, maps)
            slid = state.visible & state.found_again & (alike < STILL_ALIKE)
            cost = state.cost + np.float32(self._clip.prices.hidden) * slid
            state = replace(state, visible=state.visible & ~slid, cost=cost)
            state, alike, found = self._corrected(t, state, alike)
            self._take_back(found)
            self._passed.append(state)
            seen = state.visible & (alike > ALIKE)
            self._vote.saw(seen, state.pixels)
            if speaks is not None:
                speaks[t] = seen
            return state

        return self._clip.chain(self._source, self._pixels, frames, self._similarity, amend)

    def _seen(self, states: Sequence[ChainState]) -> Seen:
        """Tracks from the states within reach; near the source, only matching appearances count as visible.

        Otherwise a point that slid onto its occluder would seem to have parted from its company.
        """
        pixels, visible = np.stack([s.pixels for s in states], 1), np.stack([s.visible for s in states], 1)
        for nth, t in enumerate(self._frames):
            if 0 < abs(t - self._source) <= COMPARED_FRAMES:
                visible[:, nth] &= self._alike(t, pixels[:, nth]) > ALIKE
        return Seen(pixels, visible)

    def _alike(self, t: int, places: Array, maps: Array | None = None, rows: Indices | slice = slice(None)) -> Array:
        patches = self._clip.patches
        return patches.compare(self._look[rows], patches.patches(t, places, maps))

    def _corrected(self, t: int, state: ChainState, alike: Array) -> tuple[ChainState, Array, Indices]:
        """Resume points from, or mark them occluded at, predictions: the state, all similarities, which are found."""
        flows, scale = self._clip.flows, raster_scale(self._size)
        onward = 1 if t > self._source else -1
        beside = t + onward if 0 <= t + onward < self._clip.num_frames else t - onward
        doubtful = np.flatnonzero(self._rough & (~state.visible | (alike < ALIKE)))
        none = doubtful[:0]
        if not len(doubtful) or not (flows.has(t, beside) and flows.has(beside, t)):
            return state, alike, none
        verdict = self._vote.verdict(doubtful, self.maps[t][doubtful])
        off = lengths(verdict.places - state.pixels[verdict.rows]) / scale
        verdict = verdict.of(~state.visible[verdict.rows] | (off > OFF_PX))
        verdict = verdict.of(~self._vote.parted(verdict))
        rows, maps, places = verdict.rows, verdict.maps, verdict.places
        if not len(rows):
            return state, alike, none
        self.maps[t][rows] = maps
        alike[rows] = self._alike(t, state.pixels[rows], maps, rows)
        best, likeness = self._best_around(t, places, maps, rows)
        hop = take_hop(flows, t, beside, best)
        stays = (hop.cycle_error < self._clip.threshold_px * scale) & (
            self._alike(beside, hop.pixels, maps, rows) > NEXT_ALIKE
        )
        seen = state.visible[rows]
        found = stays & (likeness > FOUND_ALIKE) & (~seen | (likeness > alike[rows] + LIKE_MARGIN))
        hidden = ~found & (~seen | (alike[rows] < LEAST_ALIKE))
        alike[rows[found]] = likeness[found]
        covered = self._vote.occupied(verdict.of(hidden))
        state = _hidden(state, rows[hidden], places[hidden], covered, self._clip.prices.hidden)
        return taken_up(state, rows[found], best[found]), alike, rows[found]

    def _take_back(self, found: Indices) -> None:
        """Mark points that were found again as occluded since their appearance last matched: there they had slid."""
        for passed, state in enumerate(self._passed, 1):
            slid = found[self._vote.last_seen[found] < passed]
            state.visible[slid] = False
            state.cost[slid] += self._clip.prices.hidden

    def _best_around(self, t: int, places: Array, maps: Array, rows: Indices) -> tuple[Array, Array]:
        """The most similar of the positions at and around `places` (n, 2), and its similarity (n,)."""
        tried = places + AROUND[:, None] * np.float32(raster_scale(self._size))
        likeness = np.stack([self._alike(t, at, maps, rows) for at in tried])
        handicap = 0.01 * lengths(AROUND).astype(np.float32)  # among equals, prefer the middle
        best = (likeness - handicap[:, None]).argmax(0)
        which = np.arange(len(places))
        return tried[best, which], likeness[best, which]


def _for_rows(similarity: Similarity, rows: Indices) -> Similarity:
    """The similarity function restricted to some of the points."""
    return lambda t, pixels, part: similarity(t, pixels, rows[part])


def _rows_of(state: ChainState, rows: Indices) -> ChainState:
    """The state of some of the points."""
    return ChainState(**{field.name: getattr(state, field.name)[rows] for field in fields(ChainState)})


def _with_rows(state: ChainState, rows: Indices, part: ChainState) -> ChainState:
    """The state with that of some of the points replaced by `part`."""
    values = {field.name: getattr(state, field.name).copy() for field in fields(ChainState)}
    for name, value in values.items():
        value[rows] = getattr(part, name)
    return ChainState(**values)


def _hidden(state: ChainState, rows: Indices, places: Array, covered: NDArray[np.bool_], price: float) -> ChainState:
    """The state with some points occluded at places (n, 2); for points that were visible, the cost rises by `price`."""
    no, cost = np.zeros(len(rows), bool), state.cost[rows] + np.float32(price) * state.visible[rows]
    variance, doubt = state.variance[rows], state.doubt[rows]
    return _with_rows(state, rows, ChainState(places, no, no, cost, variance, doubt, no, covered))


def taken_up(state: ChainState, rows: Indices, places: Array) -> ChainState:
    """The state with some points found again at places (n, 2)."""
    yes, each = np.ones(len(rows), bool), np.ones(len(rows), np.float32)
    variance, doubt = FOUND_VARIANCE_PX2 * each, FOUND_DOUBT * each
    return _with_rows(state, rows, ChainState(places, yes, yes, FOUND_COST * each, variance, doubt, yes, ~yes))
