"""How much a frame's features look like another's around the present flow: all-pairs correlation, read in windows.

Correlation is linear, so that of a coarser level is the correlation with pooled features: one product gives all
levels. Around a point all offsets are whole cells and share one fraction, so a window of whole cells is read and
interpolated once along each axis.

Source:
    Teed and Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020, section 3.2.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 4  # of the pyramid, each half the size of the one before


class Correlation:
    """Correlation of every cell of the sources with every cell of the targets, on four levels.

    All of it is held in memory where it fits; else it is computed anew, piece by piece, whenever it is read.

    Args:
        source: (B, C, h, w) features; h and w are at least 8.
        target: (B, C, h, w) features.
        radius: Of the windows, in cells.
        memory_bytes: What the correlations may take.
        dtype: Type that they are computed and held in.
        store: Where they are held; an object that lives on saves the time to get fresh memory for each pair.
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
        self._guard = 2 * radius + 2  # before and after each source's values: a window beside the image may begin there
        cells = torch.cat([level.flatten(2) for level in pyramid], 2).to(dtype)
        self._target = F.pad(cells, (self._guard, self._guard))
        self._source = (source.flatten(2).transpose(1, 2) / channels**0.5).to(dtype)
        self._store = Store() if store is None else store
        row_bytes = self._target.shape[2] * dtype.itemsize * batch
        self._piece = max(1, min(height * width, int(memory_bytes // row_bytes)))
        self._all = self._values(slice(None)) if self._piece == height * width else None
        x = torch.arange(width, device=source.device).repeat(height)
        y = torch.arange(height, device=source.device).repeat_interleave(width)
        self._cells = torch.stack([x, y], 1).float()

    def around(self, flow: Tensor) -> Tensor:
        """Correlations around where the flow leads.

        Args:
            flow: (B, 2, h, w) from source to target, (x, y) in cells.

        Returns:
            (B, LEVELS * S * S, h, w) in memory format channels_last, with S = 2 radius + 1: level by level, within
            it row by row, the correlation of the source cell with the target bilinearly interpolated at whole-cell
            offsets from that point; 0 outside. They are overwritten by the next call.
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
        """(B, R, guard + M + guard) correlations of some source cells with all M target cells of all levels."""
        source = self._source[:, rows]
        out = self._store.get("values", (*source.shape[:2], self._target.shape[2]), source)
        return torch.bmm(source, self._target, out=out)

    def _windows(self, values: Tensor, points: Tensor) -> Tensor:
        """(B, R, LEVELS * S * S) interpolated correlations of R source cells around one point each."""
        batch, count, row = values.shape
        side = 2 * self._radius + 2
        span = torch.arange(side, device=points.device)
        starts, weights_x, weights_y = [], [], []
        offset = self._guard
        for level, (height, width) in enumerate(self._sizes):
            # Any point farther than this from the image reads nothing of it.
            at = (points / 2**level).clamp(-side, max(height, width) + side)
            corner = at.floor()
            part = at - corner
            first = corner.long() - self._radius
            columns, rows = first[..., :1] + span, first[..., 1:] + span
            weights_x.append(_weights(part[..., :1], (columns >= 0) & (columns < width)))
            weights_y.append(_weights(part[..., 1:], (rows >= 0) & (rows < height)))
            starts.append(rows.clamp(0, height - 1) * width + first[..., :1].clamp(-side, width) + offset)
            offset += height * width
        own = torch.arange(batch * count, device=points.device).view(batch, count, 1, 1) * row
        index = (torch.stack(starts, 2) + own).flatten()
        runs = values.view(-1).as_strided((batch * count * row - side + 1, side), (1, 1))  # of cells beside each other
        window = self._store.get("window", (len(index), side), values)
        torch.index_select(runs, 0, index, out=window)
        window = window.view(batch, count, LEVELS, side, side)
        across = self._interpolated("across", window, [w.unsqueeze(-2) for w in _stacked(weights_x)], -1)
        return self._interpolated("along", across, [w.unsqueeze(-1) for w in _stacked(weights_y)], -2).flatten(2)

    def _interpolated(self, name: str, values: Tensor, weights: list[Tensor], axis: int) -> Tensor:
        """Values between neighbours along an axis, in the weights' type."""
        count = values.shape[axis] - 1
        near, far = values.narrow(axis, 0, count), values.narrow(axis, 1, count)
        out = self._store.get(name, tuple(near.shape), weights[0])
        return torch.mul(near, weights[0], out=out).addcmul_(far, weights[1])


class Store:
    """Memory that is used again and again: fresh memory costs more time than what is done with it."""

    def __init__(self) -> None:
        self._held: dict[str, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Uninitialised memory of a shape, with the type and device of `like`; what was held by that name is lost."""
        size = math.prod(shape)
        held = self._held.get(name)
        if held is None or held.numel() < size or held.dtype != like.dtype or held.device != like.device:
            self._held[name] = held = torch.empty(size, dtype=like.dtype, device=like.device)
        return held[:size].view(shape)


def pair_bytes(height: int, width: int, radius: int, dtype: torch.dtype) -> int:
    """Memory of the correlations of one pair of frames of height x width cells."""
    cells = sum((height >> level) * (width >> level) for level in range(LEVELS)) + 2 * (2 * radius + 2)
    return height * width * cells * dtype.itemsize


def _weights(part: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """(B, R, S) weights of the nearer and the farther of two neighbours along an axis, 0 outside the image."""
    return (1 - part) * inside[..., :-1], part * inside[..., 1:]


def _stacked(weights: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    return [torch.stack(of_levels, 2) for of_levels in zip(*weights, strict=True)]
