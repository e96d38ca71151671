"""Long-range matches as a second supervision: where flow does not reach, a few exact positions far away.

Matches are few compared with the dense correspondences, and wrong matches have large errors. So their weight is large
only while the field is rough. Later, only matches that the field can agree with count: a match whose error is over
twice the median is left out (`inliers`).

Differences from the published code:

- Pairs of frames are drawn evenly and with replacement, a pair with few matches as often as one with many; published:
  first a frame and then one of its partners.
- The error is a distance; published: each of x and y below twice the median of all x and y, which leaves nothing
  if all errors point along one axis.
- Depth, its prior and its gradient have the same relative weights as in the dense terms; published: relative to flow,
  the prior has ten and the gradient a hundred times as much.

Source:
    CaDeX++ (ECCV 2024), section 3.4 and its published code.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.optimize.batch import Batch

INLIER_FACTOR = 2.0  # of the median error (published)


@dataclass(frozen=True)
class LongRangeMatches:
    """The matches of a clip on the device, sorted by pair of frames.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pairs: (P, 2) frames of each pair that has matches.
        first: (P,) index of each pair's first match.
        count: (P,) number of its matches.
        pixels: (M, 2, 2) each match's pixels in the two frames.
    """

    pairs: Tensor
    first: Tensor
    count: Tensor
    pixels: Tensor

    @staticmethod
    def from_rows(rows: NDArray[np.floating], device: torch.device, longest_gap: int = 0) -> LongRangeMatches | None:
        """Matches from rows (M, 6 or more): frame, x, y, other frame, x, y; None if there are none.

        Args:
            rows: Matches in any order.
            device: Device of the result.
            longest_gap: Matches over more frames are left out; 0 keeps all.
        """
        if longest_gap:
            rows = rows[abs(rows[:, 3] - rows[:, 0]) <= longest_gap]
        if not len(rows):
            return None
        frames = rows[:, [0, 3]].astype(np.int64)
        rows = rows[np.lexsort((frames[:, 1], frames[:, 0]))]
        pairs, first, count = np.unique(rows[:, [0, 3]].astype(np.int64), axis=0, return_index=True, return_counts=True)
        pixels = rows[:, [1, 2, 4, 5]].reshape(-1, 2, 2)
        return LongRangeMatches(
            pairs=torch.as_tensor(pairs, device=device),
            first=torch.as_tensor(first, device=device),
            count=torch.as_tensor(count, device=device),
            pixels=torch.as_tensor(pixels, dtype=torch.float32, device=device),
        )

    def draw(self, number: int, generator: torch.Generator) -> Batch:
        """Draw a batch of anchors with one target each: a pair of frames, one of its matches, and the anchor's side.

        It is drawn on the device, without a host synchronisation. Colours and cells are zero: matches have none.
        """
        device = self.pixels.device
        uniform = torch.rand(3, number, generator=generator, device=device, dtype=torch.float64)
        pair = (uniform[0] * len(self.pairs)).long()
        match = self.first[pair] + (uniform[1] * self.count[pair]).long()
        side = (uniform[2] < 0.5).long()
        frames, pixels, at = self.pairs[pair], self.pixels[match], torch.arange(number, device=device)
        return Batch(
            source_frames=frames[at, side],
            source_pixels=pixels[at, side],
            target_frames=frames[at, 1 - side][:, None],
            target_pixels=pixels[at, 1 - side][:, None],
            confidence=torch.ones(number, 1, device=device),
            occluded=torch.zeros(number, 1, dtype=torch.bool, device=device),
            colors=torch.zeros(number, 3, device=device),
            cells=torch.zeros(number, dtype=torch.long, device=device),
        )


def inliers(difference: Tensor) -> Tensor:
    """Which differences (..., 2) between predictions and matches are at most twice as long as the median.

    At least half of them are. Returns (...) bool, without gradient and without a host synchronisation.
    """
    error = difference.detach().norm(dim=-1)
    return error <= INLIER_FACTOR * error.median()
