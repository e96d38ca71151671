"""Keyframes of a clip: where enough has changed to begin a new one, and which of them show the same place.

Everything here works on thumbnails, so it costs little compared with the flow that it saves:

- A keyframe lasts until the motion since it, or the share of it that cannot be found again, reaches a threshold. Both
  are measured from the keyframe itself: a shaking camera moves much in sum, but stays where it is.
- Keyframes 4, 8, 16, ... keyframes apart, and those farther apart whose descriptors are similar
  (`place_recognition.py`), are candidates for a link. A candidate is kept if enough of one is found in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.estimators.dis import DisEstimator
from omnitrack.correspondence.place_recognition import alike_frames, global_descriptor
from omnitrack.correspondence.raster import Array, inside, lengths, pixel_grid, sample
from omnitrack.settings import DisSettings
from omnitrack.units import RASTER_PX

THUMBNAIL_SIDE = 128  # longest side
MOTION_PX = 16.0  # median motion since the keyframe, at 256 x 256, at which a new one begins
LOST_SHARE = 0.3  # ... or share of the keyframe that left the view or is not found again
GAPS = (3, 8)  # fewest and most frames from a keyframe to the next: keeps the pairs within T log T
FINEST_SCALE = 1  # of the search: flow at half the size of the thumbnails takes a third of the time
CYCLE_PX = 4.0  # cycle error, at 256 x 256, below which a point is found again: twice `filter.cycle_threshold_px`
ALIKE = 0.4  # patch similarity above which a point is found again: stricter than `query.alike_threshold`
PROBE_STRIDE = 3  # thumbnail pixels between the points that are searched for
NEAR_PLACES = 2  # keyframes at most this far apart in the list are always paired; farther ones if they share enough
LINK_SHARE = 0.25  # of the points of one keyframe found again in the other: enough to match the two

Image = NDArray[np.uint8]
Pair = tuple[int, int]


@dataclass(frozen=True)
class Keyframes:
    """Keyframes of a clip.

    Attributes:
        frames: Indices of the keyframes in order, including the first and the last frame.
        links: Pairs (earlier, later) of keyframes more than `NEAR_PLACES` apart in the list that show the same place,
            the most useful first: pairs of keyframes with few links, and among these the pairs that share most.
    """

    frames: list[int]
    links: list[Pair]


def find_keyframes(
    frame: Callable[[int], Image],
    num_frames: int,
    descriptor: Callable[[int], Array] | None = None,
    advance: Callable[[], None] = lambda: None,
) -> Keyframes:
    """Find the keyframes of a clip and the links between them.

    Memory: the thumbnails and descriptors of the keyframes, 39 kB each (128 x 96), and nothing of other frames.

    Args:
        frame: Returns frame t as (H, W, 3) uint8 RGB; each frame is requested once, in order.
        num_frames: T.
        descriptor: Returns a descriptor (D,) of frame t, similar for frames that show the same place; None computes
            it from the thumbnail (`global_descriptor`).
        advance: Called after each frame.
    """
    kept: dict[int, Image] = {}
    descriptors: list[Array] = []
    views = _Views()
    last: int | None = None
    motion: Array | None = None
    for t in range(num_frames):
        small = thumbnail(frame(t))
        begins = last is None or t in (0, num_frames - 1) or t - last >= GAPS[1]
        if last is not None and not begins and t - last >= GAPS[0]:
            seen, motion = views.compare(kept[last], small, motion)
            begins = seen.motion_px >= MOTION_PX or 1 - seen.share >= LOST_SHARE
        if begins:
            last, motion, kept[t] = t, None, small
            descriptors.append(descriptor(t) if descriptor else global_descriptor(small))
        advance()
    frames = list(kept)
    return Keyframes(frames, _links(frames, kept, descriptors, views))


def thumbnail(frame: Image) -> Image:
    """Scale a frame (H, W, 3) to a longest side of `THUMBNAIL_SIDE` pixels; smaller frames stay unchanged."""
    height, width = frame.shape[:2]
    scale = min(1.0, THUMBNAIL_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def _links(frames: list[int], kept: dict[int, Image], descriptors: Sequence[Array], views: _Views) -> list[Pair]:
    """Candidates that share enough, ordered by how many links their ends already have, then by how much they share."""
    candidates = set(alike_frames(np.stack(descriptors))) if descriptors else set()
    places = 2 * NEAR_PLACES
    while places < len(frames):
        candidates |= {(a, a + places) for a in range(len(frames) - places)}
        places *= 2
    shares: dict[Pair, float] = {}
    for a, b in sorted(candidates):
        first, second = kept[frames[a]], kept[frames[b]]
        share = views.compare(first, second, views.shift(first, second))[0].share
        if share >= LINK_SHARE:
            shares[frames[a], frames[b]] = share
    used = dict.fromkeys(frames, 0)
    order: list[tuple[int, float, Pair]] = []
    for pair in sorted(shares, key=lambda pair: (-shares[pair], pair)):
        order.append((max(used[end] for end in pair), -shares[pair], pair))
        for end in pair:
            used[end] += 1
    return [pair for _, _, pair in sorted(order)]


@dataclass(frozen=True)
class _View:
    """One thumbnail found in another: the share of its points that is found, and the median motion of all (at 256)."""

    share: float
    motion_px: float


class _Views:
    """Compares thumbnails by dense flow both ways and by patches."""

    def __init__(self) -> None:
        self._search = DisEstimator(DisSettings(side=0, finest_scale=FINEST_SCALE))

    def compare(self, first: Image, second: Image, initial: Array | None) -> tuple[_View, Array]:
        """Find `first` in `second`; return the view and the flow, initialised with `initial` (H, W, 2) if given."""
        size = (first.shape[1], first.shape[0])
        there = self._search.estimate(first, second, initial)
        back = self._search.estimate(second, first, None if initial is None else -initial)
        grid = pixel_grid(size, min(PROBE_STRIDE, *size))
        landed = grid + sample(there, grid)
        returned = landed + sample(back, landed)
        to_raster = np.float32(RASTER_PX) / np.array(size, np.float32)
        error = lengths((returned - grid) * to_raster)
        patches = FramePatches(BlurredFrames(lambda t: (first, second)[t], size))
        alike = patches.similarity(patches.patches(0, grid), 1, landed)
        found = inside(landed, size) & (error < CYCLE_PX) & (alike > ALIKE)
        moved = lengths((landed - grid) * to_raster)
        return _View(float(found.mean()), float(np.median(moved))), there

    @staticmethod
    def shift(first: Image, second: Image) -> Array:
        """The flow (H, W, 2) of the single translation that fits two thumbnails best, by phase correlation."""
        greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float64) for image in (first, second)]
        window = cv2.createHanningWindow(first.shape[1::-1], cv2.CV_64F) if min(first.shape[:2]) > 1 else None
        (x, y), _ = cv2.phaseCorrelate(greys[0], greys[1], window)
        return np.broadcast_to(np.array((x, y), np.float32), (*first.shape[:2], 2)).copy()
