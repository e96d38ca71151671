"""Correlation of the features of two frames around the current flow: all-pairs correlation, read in windows.

Correlation is linear, so the correlation at a coarser level is the correlation with pooled features: one product gives
all levels. All offsets around a point are whole cells and share one fraction, so a window of whole cells is read and
interpolated once along each axis. Zeros are stored beside the image like other cells, so windows need no masks.

Source:
    Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020, section 3.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # of the pyramid, each half the size of the previous level


class Correlation:
    """Correlation of every cell of the sources with every cell of the targets, on four levels.

    The correlations are held in memory if they fit; else they are recomputed, piece by piece, at every read.

    Args:
        source: (B, C, h, w) features; h and w are at least 8.
        target: (B, C, h, w) features.
        radius: Radius of the windows, in cells.
        memory_bytes: Memory limit of the correlations.
        dtype: Type in which they are computed and held.
        store: Memory that holds them; keeping one store for many pairs saves the time to allocate memory for each.
    """

    def __init__(
        self,
        source: Tensor,
        target: Tensor,
        radius: int,
        memory_bytes: float,
        dtype: torch.dtype = torch.float32,
        store: Store | None = None,
    ) -> None:
        batch, channels, height, width = source.shape
        pyramid, self._sizes = [target], [(height, width)]
        for _ in range(LEVELS - 1):
            pyramid.append(F.avg_pool2d(pyramid[-1], 2))
            self._sizes.append((pyramid[-1].shape[2], pyramid[-1].shape[3]))
        self._radius = radius
        self._side = 2 * radius + 2  # side of the window of whole cells
        # Zeros: one run at the start for rows above and below the image, one after each row for cells beside it.
        rows = [F.pad(level, (0, self._side)).flatten(2) for level in pyramid]
        self._target = F.pad(torch.cat(rows, 2), (self._side, 0)).to(dtype)
        self._source = (source.flatten(2).transpose(1, 2) / channels**0.5).to(dtype)
        self._store = Store() if store is None else store
        row_bytes = self._target.shape[2] * dtype.itemsize * batch
        self._piece = max(1, min(height * width, int(memory_bytes // row_bytes)))
        self._all = self._values(slice(None)) if self._piece == height * width else None
        x = torch.arange(width, device=source.device).repeat(height)
        y = torch.arange(height, device=source.device).repeat_interleave(width)
        self._cells = torch.stack([x, y], 1).float()

    def around(self, flow: Tensor) -> Tensor:
        """Return the correlations around the positions where the flow leads.

        Args:
            flow: (B, 2, h, w) from source to target, (x, y) in cells.

        Returns:
            (B, LEVELS * S * (S + 1), h, w) in memory format channels_last, with S = 2 radius + 1: level by level, and
            row by row within a level, the correlation of the source cell with the target, bilinearly interpolated at
            whole-cell offsets from that position; 0 outside. The last column of each row is finite but meaningless.
            The next call overwrites the result.
        """
        batch, _, height, width = flow.shape
        points = self._cells + flow.permute(0, 2, 3, 1).reshape(batch, -1, 2)
        if self._all is not None:
            found = self._windows(self._all, points)
        else:
            pieces = [slice(first, first + self._piece) for first in range(0, height * width, self._piece)]
            found = torch.cat([self._windows(self._values(piece), points[:, piece]).clone() for piece in pieces], 1)
        return found.view(batch, height, width, -1).permute(0, 3, 1, 2)

    def _values(self, rows: slice) -> Tensor:
        """Return correlations (B, R, M) of R source cells with the target cells of all levels, padding included."""
        source = self._source[:, rows]
        out = self._store.get("values", (*source.shape[:2], self._target.shape[2]), source)
        return torch.bmm(source, self._target, out=out)

    def _windows(self, values: Tensor, points: Tensor) -> Tensor:
        """Return interpolated correlations (B, R, LEVELS * S * (S + 1)) of R source cells around one point each."""
        batch, count, row = values.shape
        side = self._side
        span = torch.arange(side, device=points.device)
        starts, fractions = [], []
        offset = side
        for level, (height, width) in enumerate(self._sizes):
            # The window of a point farther than this from the image contains no cell of it.
            at = (points.nan_to_num() / 2**level).clamp(-side, max(height, width) + side)
            corner = at.floor()
            fractions.append(at - corner)
            first = corner.long() - self._radius
            rows = first[..., 1:] + span
            start = rows * (width + side) + first[..., :1].clamp(-side, width) + offset
            starts.append(torch.where((rows >= 0) & (rows < height), start, 0))
            offset += height * (width + side)
        own = torch.arange(batch * count, device=points.device).view(batch, count, 1, 1) * row
        index = (torch.stack(starts, 2) + own).flatten()
        runs = values.view(-1).as_strided((batch * count * row - side + 1, side), (1, 1))  # of adjacent cells
        found = self._store.get("found", (len(index), side), values)
        window = self._store.get("window", (batch * count * LEVELS, side * side), points)
        window.copy_(torch.index_select(runs, 0, index, out=found).view(window.shape))
        x, y = torch.stack(fractions, 2).view(-1, 2).split(1, 1)
        # The neighbour along y is one row on, along x one cell on: at the end of a row, the first cell of the next row.
        inner = side * (side - 1)
        between = self._store.get("between", (len(window), inner), points)
        torch.lerp(window[:, :inner], window[:, side:], y, out=between)
        result = self._store.get("result", (len(window), inner), points)
        torch.lerp(between[:, :-1], between[:, 1:], x, out=result[:, :-1])
        return result.view(batch, count, -1)


class Store:
    """Reused memory: allocating memory takes longer than the operations on it."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Return memory of a shape, with the type and device of `like` and any finite values; old content is lost."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            self._held[name] = held = torch.zeros(size, dtype=like.dtype, device=like.device)
        return held[:size].view(shape)


def pair_bytes(height: int, width: int, radius: int, dtype: torch.dtype) -> int:
    """Return the bytes of the correlations of one pair of frames of height x width cells."""
    side = 2 * radius + 2
    cells = side + sum((height >> level) * ((width >> level) + side) for level in range(LEVELS))
    return height * width * cells * dtype.itemsize
