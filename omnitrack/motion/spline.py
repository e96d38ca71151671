"""A monotone piecewise-linear map of the line with an exact inverse.

Four knots (x_k, y_k), k = 0..3, both increasing; linear between them and, with slopes of their own, beyond. As a
sum of clamped pieces it needs no search for the segment:

    f(x) = y_1 + s_1 clamp(x - x_1, 0, w_1) + s_0 clamp(x - x_1, -w_0, 0) + s_2 clamp(x - x_2, 0, w_2)
         + a min(x - x_0, 0) + b max(x - x_3, 0),   w_k = x_{k+1} - x_k,  s_k = (y_{k+1} - y_k) / w_k

Source:
    CaDeX++ (ECCV 2024), non-linear coupling: ten numbers per point, knots at sums of widths left and right of zero.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NUM_PARAMETERS = 10
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
    return Spline(
        x=_knots(positive[..., 0:4]),
        y=_knots(positive[..., 4:8]),
        left=2 * positive[..., 8],
        right=2 * positive[..., 9],
    )


def evaluate(spline: Spline, x: Tensor) -> Tensor:
    """f(x) for x (...), one spline per point."""
    return _piecewise(x, spline.x, spline.y, spline.left, spline.right)


def invert(spline: Spline, y: Tensor) -> Tensor:
    """The x with f(x) = y: the same sum with the roles of the knots exchanged."""
    return _piecewise(y, spline.y, spline.x, 1 / spline.left, 1 / spline.right)


def _knots(widths: Tensor) -> Tensor:
    outer_left, inner_left, inner_right, outer_right = widths.unbind(-1)
    return torch.stack([-inner_left - outer_left, -inner_left, inner_right, inner_right + outer_right], -1)


def _piecewise(q: Tensor, at: Tensor, to: Tensor, left: Tensor, right: Tensor) -> Tensor:
    widths = at.diff(dim=-1)
    slopes = to.diff(dim=-1) / widths
    from_1, from_2 = q - at[..., 1], q - at[..., 2]
    zero = torch.zeros_like(q)
    return (
        to[..., 1]
        + slopes[..., 1] * torch.clamp(from_1, zero, widths[..., 1])
        + slopes[..., 0] * torch.clamp(from_1, -widths[..., 0], zero)
        + slopes[..., 2] * torch.clamp(from_2, zero, widths[..., 2])
        + left * (q - at[..., 0]).clamp_max(0)
        + right * (q - at[..., 3]).clamp_min(0)
    )
