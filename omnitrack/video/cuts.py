"""Detection of hard cuts in a stream of frames.

At a hard cut the image changes from one frame to the next, while the frames before it are similar to each other, and so
are the frames after it. Two measures of `likeness.py`, the share of the image that is lost and the share of colours
that change, are compared with the same measures beside the cut, so that fast motion is judged by the clip's own motion.

A few frames with far less detail than the frames around them (a flash, a black frame, a covered lens) do not end a shot
to which the clip returns. A gradual change, as in a fade, is not a hard cut.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.video.likeness import COARSE, SAME_SCENE, Likeness, View, compare, found_in

BLANK = 0.03  # share of patches with contrast, below which a frame is blank
FLOOR = 0.05  # added to shares before their ratio is taken
LEAST_SCORE = 0.75  # sum of the log ratios of both measures: 995 of 1,000 cuts exceed it (tests/benchmarks/cuts.py)
ALWAYS_ALIKE_LEVELS = 2.5  # mean difference of two thumbnails, below which they always count as similar
BLANK_LEVELS = 25.0  # the same threshold if one of the two is blank, as in the last step of a fade
FAINT = 0.4  # share of the surrounding detail, below which a frame is an interruption
LONGEST_INTERRUPTION = 6  # frames
LEAST_SHOT = 2  # frames: a single odd frame belongs to the shot before it

Image = NDArray[np.uint8]


class CutDetector:
    """Finds the cuts of a stream of frames.

    Memory: a few thumbnails, whatever the number of frames. Time: one or two milliseconds per frame.

    Example:
        >>> import numpy as np
        >>> rng, detector = np.random.default_rng(0), CutDetector()
        >>> for scene in rng.integers(0, 256, (2, 48, 64, 3), np.uint8):
        ...     for shift in range(4):
        ...         detector.push(np.roll(scene, shift, 1))
        >>> detector.finish()
        [4]
    """

    def __init__(self) -> None:
        self._views: dict[int, View] = {}
        self._likeness: dict[tuple[int, int], Likeness] = {}
        self._plain: dict[tuple[int, int], bool] = {}
        self._count = 0
        self._next = 1  # the first frame that is not yet decided
        self._cuts: list[int] = []

    def push(self, frame: Image) -> None:
        """Add the next frame, (H, W, 3) uint8 RGB."""
        self._views[self._count] = View(frame)
        self._count += 1
        while self._next + LONGEST_INTERRUPTION + 1 < self._count:
            self._decide()

    def finish(self) -> list[int]:
        """Return the frames at which a new shot begins, indexed from 0, in order."""
        while self._next < self._count:
            self._decide()
        return self._cuts

    def _decide(self) -> None:
        frame = self._next
        last = self._cuts[-1] if self._cuts else 0
        far_enough = frame - last >= LEAST_SHOT and self._count - frame >= LEAST_SHOT
        if far_enough and (self._cut(frame) or self._cut_through(frame)):
            self._cuts.append(frame)
        self._next += 1
        oldest = self._next - LONGEST_INTERRUPTION - 2
        self._views.pop(oldest, None)
        for known in (self._likeness, self._plain):
            for pair in [pair for pair in known if pair[0] <= oldest]:
                del known[pair]

    # --- decisions ------------------------------------------------------------------------------------------------
    def _cut(self, frame: int) -> bool:
        """Whether a shot begins at `frame`, and the shot before it ends with the previous frame."""
        if self._plainly_alike(frame - 1, frame):
            return False
        across = [(frame - 1, frame), (frame - 2, frame), (frame - 1, frame + 1)]
        within = [(frame - 2, frame - 1), (frame, frame + 1)]
        return self._apart(across, within) and not self._interruption(frame)

    def _cut_through(self, frame: int) -> bool:
        """Whether a shot begins at `frame`, and the previous frame belongs to neither shot."""
        odd = [(frame - 2, frame - 1)], [(frame - 1, frame)]
        across = [(frame - 2, frame), (frame - 3, frame), (frame - 2, frame + 1)]
        within = [(frame - 3, frame - 2), (frame, frame + 1)]
        if frame - 3 not in self._views:
            return False
        blank = [self._views[t].shown < BLANK for t in (frame - 2, frame - 1, frame)]
        if blank == [False, True, False]:
            return self._apart(across, within)
        if any(self._plainly_alike(*pair) for pair in (odd[0][0], odd[1][0])):
            return False
        return all(self._apart(pairs, within) for pairs in (*odd, across))

    def _plainly_alike(self, first: int, second: int) -> bool:
        """Whether a quick test rules out a cut between two frames."""
        pair = first, second
        if pair not in self._plain:
            sides = self._views[first], self._views[second]
            difference = sides[0].difference(sides[1])
            self._plain[pair] = (
                difference < ALWAYS_ALIKE_LEVELS
                or found_in(*sides, COARSE) >= SAME_SCENE
                or (difference < BLANK_LEVELS and min(side.shown for side in sides) < BLANK)
            )
        return self._plain[pair]

    def _apart(self, across: list[tuple[int, int]], within: list[tuple[int, int]]) -> bool:
        """Whether frames `across` a position differ, and differ clearly more than frames `within` each side."""
        crossing = [self._likeness_of(*pair) for pair in across if self._has(pair)]
        beside = [self._likeness_of(*pair) for pair in within if self._has(pair)]
        found, recolored = max(pair.share for pair in crossing), min(pair.recolored for pair in crossing)
        if found >= SAME_SCENE:
            return False
        lost = (min(pair.share for pair in beside) + FLOOR) / (found + FLOOR)
        changed = (recolored + FLOOR) / (max(pair.recolored for pair in beside) + FLOOR)
        return bool(np.log(lost) + np.log(changed) > LEAST_SCORE)

    def _interruption(self, frame: int) -> bool:
        """Whether an interruption of the same scene begins at `frame`, or ends just before it."""
        for before, step in ((frame - 1, 1), (frame, -1)):
            other = before + step
            while abs(other - before) <= LONGEST_INTERRUPTION and other in self._views:
                if not self._odd(other, before):
                    break
                other += step
            if abs(other - before) > 1 and other in self._views:
                within = [(before - step, before), (other, other + step)]
                if not self._apart([_ordered(before, other)], [_ordered(*pair) for pair in within]):
                    return True
        return False

    def _odd(self, frame: int, beside: int) -> bool:
        return self._views[frame].detail < FAINT * self._views[beside].detail

    # --- pairs of frames ------------------------------------------------------------------------------------------
    def _has(self, pair: tuple[int, int]) -> bool:
        return pair[0] in self._views and pair[1] in self._views

    def _likeness_of(self, first: int, second: int) -> Likeness:
        pair = first, second
        if pair not in self._likeness:
            self._likeness[pair] = compare(self._views[first], self._views[second])
        return self._likeness[pair]


def _ordered(first: int, second: int) -> tuple[int, int]:
    return min(first, second), max(first, second)
