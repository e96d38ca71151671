"""A monotone piecewise-linear map of the line with an exact inverse.

Four knots (x_k, y_k), k = 0..3, both increasing; the map is linear between them, and has slopes a and b beyond them.
Written as a sum of five clamped pieces, it needs no search for the segment:

    f(x) = y_0 + a clamp(x - x_0, -inf, 0) + sum_k h_k / w_k clamp(x - x_k, 0, w_k) + b clamp(x - x_3, 0, inf)

    w_k = x_{k+1} - x_k,  h_k = y_{k+1} - y_k,  k = 0..2

The inverse is the same sum with x and y exchanged. The starts, ends, rises and runs of the five pieces are linear in
ten positive numbers, so that one matrix product gives all of them.

Source:
    CaDeX++ (ECCV 2024), non-linear coupling: ten numbers per point, knots at sums of widths left and right of zero.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

NUM_PARAMETERS = 10
LEAST_SHARE = 0.05  # smallest share of an initial width or slope: keeps every slope away from zero and infinity
# Rows over the four widths left-outer, left-inner, right-inner, right-outer: the knots, left and right of zero, and the
# steps between them.
KNOTS = ((-1.0, -1.0, 0, 0), (0, -1.0, 0, 0), (0, 0, 1.0, 0), (0, 0, 1.0, 1.0))
STEPS = ((1.0, 0, 0, 0), (0, 1.0, 1.0, 0), (0, 0, 0, 1.0))
X_WIDTHS, Y_WIDTHS, SLOPES = 0, 4, 8  # indices of their first among the ten parameters
PARTS = (5, 5, 5, 5, 1)  # starts, ends, rises and runs of the pieces, and the value at the first knot


def evaluate(raw: Tensor, x: Tensor) -> Tensor:
    """f(x) for x (...), one map per point.

    Args:
        raw: (..., 10) unconstrained parameters, zeros for the identity: widths in x left-outer, left-inner,
            right-inner, right-outer; the same in y; slopes left and right of the knots. Each is mapped into
            (0.025, 0.975), zero to 0.5; slopes are twice that.
        x: (...).
    """
    return _sum_of_pieces(raw, x, inverse=False)


def invert(raw: Tensor, y: Tensor) -> Tensor:
    """The x with f(x) = y."""
    return _sum_of_pieces(raw, y, inverse=True)


def _sum_of_pieces(raw: Tensor, q: Tensor, inverse: bool) -> Tensor:
    matrix, constants, least = _pieces(inverse, raw.device, raw.dtype)
    start, end, rise, run, value = F.linear(torch.sigmoid(raw), matrix, constants).split(PARTS, -1)
    pieces = torch.minimum(torch.maximum(q.unsqueeze(-1) - start, least), end)
    return (rise / run * pieces).sum(-1) + value.squeeze(-1)


@lru_cache
def _pieces(inverse: bool, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """A matrix (21, 10) and constants (21,) that turn sigmoids (10,) into the parts (21,); and least values (5,).

    Cached on the device, because a copy in every layer would block the host.
    """
    none = torch.zeros(1, NUM_PARAMETERS, dtype=torch.float64)
    x, y = (_of_widths(KNOTS, first) for first in (X_WIDTHS, Y_WIDTHS))
    w, h = (_of_widths(STEPS, first) for first in (X_WIDTHS, Y_WIDTHS))
    left, right = (2 * torch.eye(NUM_PARAMETERS, dtype=torch.float64)[SLOPES:]).split(1)
    rise, run = torch.cat([left, h, right]), torch.cat([none, w, none])
    if inverse:
        x, y, w, rise, run = y, x, h, run, rise
    start, end = torch.cat([x[:1], x]), torch.cat([none, w, none])
    parts = (start, end, rise, run, y[:1])
    constants = [part.sum(1) * (LEAST_SHARE / 2) for part in parts]
    one, infinite = torch.ones(1, dtype=torch.float64), torch.full((1,), math.inf, dtype=torch.float64)
    constants[1] = torch.cat([constants[1][:-1], infinite])  # the last piece has no end
    outer = 2 if inverse else 3  # slopes beyond the knots are a / 1, or 1 / a
    constants[outer] = torch.cat([one, constants[outer][1:-1], one])
    least = torch.tensor([-math.inf, 0, 0, 0, 0], dtype=torch.float64)
    matrix = torch.cat(parts) * (1 - LEAST_SHARE)
    return tuple(t.to(device, dtype) for t in (matrix, torch.cat(constants), least))  # type: ignore[return-value]


def _of_widths(rows: tuple[tuple[float, ...], ...], first: int) -> Tensor:
    """Expand rows over four widths to rows over all ten parameters, of which the widths begin at `first`."""
    found = torch.zeros(len(rows), NUM_PARAMETERS, dtype=torch.float64)
    found[:, first : first + 4] = torch.tensor(rows, dtype=torch.float64)
    return found
