"""The operations of `descriptors/comparing.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.compiling import exact
from omnitrack.correspondence.descriptors.comparing import STEPS, Cells, Offers

Array = NDArray[Any]
BLOCK = 128  # places whose cells are computed before any cell is read
_HALF, _SQUARED = np.float32(0.5), np.float32(STEPS**2)
_ZERO, _NOT_ALIKE = np.float32(0), np.float32(-1)


@exact
def _cell(x: np.float32, y: np.float32, length: Array, last: Array, columns: int) -> int:
    column = min(max(np.rint((x + _HALF) / length[0] - _HALF), _ZERO), last[0])
    row = min(max(np.rint((y + _HALF) / length[1] - _HALF), _ZERO), last[1])
    return int(row) * columns + int(column)


@exact
def _cosine(a: Array, b: Array) -> np.float32:
    total = np.int32(0)
    for channel in range(len(a)):
        total = np.int32(total + np.int32(np.int32(a[channel]) * np.int32(b[channel])))  # int64 otherwise
    return np.float32(total) / _SQUARED


@exact
def _cosines(columns: int, own: Array, target: Array, pixels: Array, length: Array, last: Array, found: Array) -> None:
    for n in range(len(own)):
        cell = _cell(pixels[0, n], pixels[1, n], length, last, columns)
        found[n] = _cosine(own[n], target[cell])


@exact
def _offer(
    columns: int,
    to_near: np.float32,
    farthest: np.float32,
    own: Array,
    target: Array,
    places: Array,
    near: Array,
    best: Array,
    scores: Array,
    displacements: Array,
    length: Array,
    last: Array,
) -> None:
    cells, price = np.empty(BLOCK, np.int64), np.empty(BLOCK, np.float32)
    for first in range(0, len(own), BLOCK):
        count = min(BLOCK, len(own) - first)
        for i in range(count):
            n = first + i
            x, y = displacements[0, n], displacements[1, n]
            away_x, away_y = x - near[0, n], y - near[1, n]
            price[i] = to_near * min(np.sqrt(away_x * away_x + away_y * away_y), farthest)
            cells[i] = _cell(places[0, n] + x, places[1, n] + y, length, last, columns)
        for i in range(count):
            n = first + i
            score = _cosine(own[n], target[cells[i]]) - price[i]
            better = score > scores[n]
            scores[n] = score if better else scores[n]  # no branch: the processor would mispredict it
            best[0, n] = displacements[0, n] if better else best[0, n]
            best[1, n] = displacements[1, n] if better else best[1, n]


@exact
def _none_more_alike(
    columns: int,
    own: Array,
    target: Array,
    pixels: Array,
    offsets: Array,
    end: Array,
    length: Array,
    last: Array,
    found: Array,
) -> None:
    for n in range(len(own)):
        x, y = pixels[0, n], pixels[1, n]
        here = _cosine(own[n], target[_cell(x, y, length, last, columns)])
        none = here > _NOT_ALIKE
        for k in range(len(offsets)):
            if not none:
                break
            other_x, other_y = x + offsets[k, 0], y + offsets[k, 1]
            if -_HALF <= other_x < end[0] and -_HALF <= other_y < end[1]:
                none = _cosine(own[n], target[_cell(other_x, other_y, length, last, columns)]) < here
        found[n] = none


class CompiledComparing:
    """The operations of `Comparing`, compiled for a CPU."""

    def own(self, cells: Cells, source: Tensor, pixels: Tensor) -> Tensor:
        """See `Comparing`; int8."""
        return source.index_select(0, cells.at(pixels))

    def cosines(self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor) -> Tensor:
        """See `Comparing`."""
        found = torch.empty(len(own))
        _cosines(cells.columns, *_arrays(own, target, pixels, *_raster(cells), found))
        return found

    def offer(self, cells: Cells, best: Offers, displacements: Tensor, to_near: float, farthest: float) -> None:
        """See `Comparing`."""
        looking = _arrays(best.own, best.target, best.places, best.near, best.displacements, best.scores)
        offered = _arrays(displacements, *_raster(cells))
        _offer(cells.columns, np.float32(to_near), np.float32(farthest), *looking, *offered)

    def none_more_alike(
        self, cells: Cells, own: Tensor, target: Tensor, pixels: Tensor, offsets: Tensor, end: Tensor
    ) -> Tensor:
        """See `Comparing`."""
        found = torch.empty(len(own), dtype=torch.bool)
        arrays = _arrays(own, target, pixels, offsets[..., 0], end[:, 0], *_raster(cells), found)
        _none_more_alike(cells.columns, *arrays)
        return found


def _raster(cells: Cells) -> tuple[Tensor, Tensor]:
    return cells.length[:, 0], cells.last[:, 0]


def _arrays(*tensors: Tensor) -> list[Array]:
    """Return tensors as contiguous arrays, the layout for which the functions are compiled."""
    return [tensor.contiguous().numpy() for tensor in tensors]
