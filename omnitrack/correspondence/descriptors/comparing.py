"""The hot operations of the descriptor search, which compare descriptors.

The operations are written in torch here, and compiled in `compiled/descriptors.py` if numba is installed (the extra
``fast``). Descriptors are integers, and both versions round each operation equally: the results are bit-identical.

Here pixels and displacements are (2, N), all x and then all y: torch is a third faster in this layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from omnitrack.compiled_parts import CompiledPart

STEPS = 127  # per unit of a descriptor's values: sums of products of steps are exact in float32
AROUND_AT_ONCE = 8  # offsets per pass; a pixel with an equal or better match at one of them skips the next passes


def in_steps(descriptors: Tensor) -> Tensor:
    """Quantise descriptors (N, C), of length at most 1, to integer steps of 1 / `STEPS`: int8."""
    return descriptors.mul(STEPS).round_().to(torch.int8).contiguous()


class Cells:
    """The cells of descriptor maps that cover frames of one size.

    Attributes:
        columns: Number of columns of the map.
        length: (2, 1) width and height of a cell in pixels.
        last: (2, 1) column and row of the last cell.
    """

    def __init__(self, size: tuple[int, int], map_size: tuple[int, int], device: str | torch.device) -> None:
        self.columns = map_size[0]
        self.length = (torch.tensor(size, device=device) / torch.tensor(map_size, device=device))[:, None]
        self.last = torch.tensor(map_size, device=device)[:, None] - 1.0

    def at(self, pixels: Tensor) -> Tensor:
        """Return the indices (N,), row by row, of the cells nearest to pixels (2, N)."""
        x, y = self.nearest(pixels)
        return (y * self.columns + x).long()

    def centres(self, pixels: Tensor) -> Tensor:
        """Return the centres (2, N), in pixels, of the cells nearest to pixels (2, N)."""
        return (self.nearest(pixels) + 0.5) * self.length - 0.5

    def nearest(self, pixels: Tensor) -> Tensor:
        """Return the columns and rows (2, N), whole numbers in float32, of the cells nearest to pixels (2, N)."""
        cells = ((pixels + 0.5) / self.length - 0.5).round()
        return torch.minimum(cells.clamp(min=0), self.last)


@dataclass(frozen=True)
class Offers:
    """Places that search for a displacement, each with its best displacement so far.

    Attributes:
        own: (N, C) descriptors of the places, in the layout of `Comparing.own`.
        target: (h * w, C) int8 map that is searched.
        places: (2, N) pixels.
        near: (2, N) displacements; the distance from them lowers the score.
        displacements: (2, N) best displacements so far; `offer` updates them.
        scores: (N,) their scores; `offer` updates them.
    """

    own: Tensor
    target: Tensor
    places: Tensor
    near: Tensor
    displacements: Tensor
    scores: Tensor


class Comparing(Protocol):
    """The operations, on N places or pixels (2, N), their descriptors (N, C), and maps (h * w, C) in steps."""

    def own(self, cells: Cells, source: Tensor, pixels: Tensor) -> Tensor:
        """Return the descriptors (N, C) of a map's cells at pixels, to be compared many times."""

    def cosines(self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
        """Return the cosines (N,) float32 of descriptors with the descriptors of a map's cells at pixels."""

    def offer(self, cells: Cells, best: Offers, displacements: Tensor, to_near: float, farthest: float) -> None:
        """Accept displacements (2, N) where they score better.

        The score is the cosine, less `to_near` per pixel of distance from the near displacement; the distance counts
        up to `farthest`.
        """

    def none_more_alike(
        self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor, offsets: Tensor, end: Tensor
    ) -> Tensor:
        """(N,) bool: whether no cell at the offsets (n, 2, 1) from a pixel matches `own` as well as the pixel's cell.

        Positions outside the frame, which ends at `end` (2, 1), do not count.
        """


class TorchComparing:
    """The operations in torch, on any device: the reference."""

    def own(self, cells: Cells, source: Tensor, pixels: Tensor) -> Tensor:
        """See `Comparing`; float32."""
        return source.index_select(0, cells.at(pixels)).float()

    def cosines(self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
        """See `Comparing`."""
        products = target.index_select(0, cells.at(pixels)).float()
        products *= own
        return (products @ products.new_ones(products.shape[1])) / STEPS**2

    def offer(self, cells: Cells, best: Offers, displacements: Tensor, to_near: float, farthest: float) -> None:
        """See `Comparing`."""
        x, y = displacements - best.near
        away = (x * x + y * y).double().sqrt().float()  # torch's float32 sqrt is off by one bit on some processors
        scores = self.cosines(cells, best.own, best.target, best.places + displacements)
        scores -= to_near * away.clamp(max=farthest)
        better = scores > best.scores
        best.displacements.copy_(torch.where(better, displacements, best.displacements))
        best.scores.copy_(torch.maximum(scores, best.scores))

    def none_more_alike(
        self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor, offsets: Tensor, end: Tensor
    ) -> Tensor:
        """See `Comparing`."""
        left = torch.arange(pixels.shape[1], device=pixels.device)
        none = torch.zeros(len(left), dtype=torch.bool, device=pixels.device)
        here = self.cosines(cells, own, target, pixels)
        for part in offsets.split(AROUND_AT_ONCE):
            best = torch.full_like(here, -1.0)
            for offset in part:
                other = pixels + offset
                on_frame = ((other >= -0.5) & (other < end)).all(0)
                best = torch.maximum(best, self.cosines(cells, own, target, other).where(on_frame, -1))
            alone = best < here
            left, pixels, own, here = left[alone], pixels[:, alone], own[alone], here[alone]
        none[left] = True
        return none


def agree(first: Comparing, second: Comparing) -> bool:
    """Return whether two implementations agree bit for bit on a small map of random descriptors."""
    found = []
    for comparing in (first, second):
        random = torch.Generator().manual_seed(0)
        source, target = torch.randint(-40, 40, (2, 12 * 9, 8), generator=random).to(torch.int8)
        cells, end = Cells((16, 12), (12, 9), "cpu"), torch.tensor([[15.5], [11.5]])
        places, near, others = torch.randn(3, 2, 64, generator=random) * 9
        own = comparing.own(cells, source, places + 8)
        best = Offers(own, target, places + 8, near, near.clone(), torch.full((64,), -0.2))
        for step in (others, near + 0.1 * others):
            comparing.offer(cells, best, step, 0.01, 8.0)
        offsets = torch.randn(20, 2, 1, generator=random) * 4
        none = comparing.none_more_alike(cells, own, target, best.places, offsets, end)
        cosines = comparing.cosines(cells, own, target, best.places)
        found.append([best.displacements, best.scores, none, cosines])
    return all(torch.equal(a, b) for a, b in zip(*found, strict=True))


COMPARING = CompiledPart[Comparing](
    TorchComparing(), "omnitrack.correspondence.compiled.descriptors", "CompiledComparing", agree
)


def comparing_on(kind: str) -> Comparing:
    """Return the operations for a kind of device: on a CPU the compiled ones, if available."""
    return COMPARING.fastest if kind == "cpu" else COMPARING.reference
