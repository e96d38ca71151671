"""A monotone piecewise-linear map of the line with an exact inverse.

Four knots (x_k, y_k), k = 0..3, both increasing; linear between them and, with slopes of their own, beyond. As a
sum of clamped pieces it needs no search for the segment:

    f(x) = y_0 + a min(x - x_0, 0) + sum_k s_k clamp(x - x_k, 0, w_k) + b max(x - x_3, 0)

    w_k = x_{k+1} - x_k,  s_k = (y_{k+1} - y_k) / w_k,  k = 0..2

Source:
    CaDeX++ (ECCV 2024), non-linear coupling: ten numbers per point, knots at sums of widths left and right of zero.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

NUM_PARAMETERS = 10
# Widths left-outer, left-inner, right-inner, right-outer to knots: sums to the left and to the right of zero.
KNOTS_FROM_WIDTHS = ((-1.0, 0, 0, 0), (-1.0, -1.0, 0, 0), (0, 0, 1.0, 1.0), (0, 0, 0, 1.0))
LEAST_SHARE = 0.05  # of a width or slope at the start: keeps every slope away from zero and infinity


class Spline(NamedTuple):
    """Knots and tail slopes of one map per point: `x` and `y` (..., 4), `left` and `right` slopes (...)."""

    x: Tensor
    y: Tensor
    left: Tensor
    right: Tensor


def spline_from_parameters(raw: Tensor) -> Spline:
    """Turn free numbers into a valid spline; zeros give the identity.

    Args:
        raw: (..., 10): widths in x left-outer, left-inner, right-inner, right-outer; the same in y; slopes left, right.
    """
    positive = LEAST_SHARE / 2 + (1 - LEAST_SHARE) * torch.sigmoid(raw)  # 0.5 at zero, in (0.025, 0.975)
    knots = positive[..., :8] @ _knots_from_widths(raw.device, raw.dtype)
    return Spline(x=knots[..., :4], y=knots[..., 4:], left=2 * positive[..., 8], right=2 * positive[..., 9])


@lru_cache
def _knots_from_widths(device: torch.device, dtype: torch.dtype) -> Tensor:
    """(8, 8) for x and y; kept on the device, because a copy to it in every layer would stop the host."""
    one = torch.tensor(KNOTS_FROM_WIDTHS, dtype=dtype)
    return torch.block_diag(one, one).to(device)


def evaluate(spline: Spline, x: Tensor) -> Tensor:
    """f(x) for x (...), one spline per point."""
    return _piecewise(x, spline.x, spline.y, spline.left, spline.right)


def invert(spline: Spline, y: Tensor) -> Tensor:
    """The x with f(x) = y: the same sum with the roles of the knots exchanged."""
    return _piecewise(y, spline.y, spline.x, 1 / spline.left, 1 / spline.right)


def _piecewise(q: Tensor, at: Tensor, to: Tensor, left: Tensor, right: Tensor) -> Tensor:
    beyond = q.unsqueeze(-1) - at
    widths = at[..., 1:] - at[..., :-1]
    slopes = (to[..., 1:] - to[..., :-1]) / widths
    pieces = torch.minimum(beyond[..., :3].clamp_min(0), widths)
    tails = left * beyond[..., 0].clamp_max(0) + right * beyond[..., 3].clamp_min(0)
    return to[..., 0] + (slopes * pieces).sum(-1) + tails
