"""The monotone map of OmniMotion's couplings: a shift and a scale.

    f(x) = (x - t) exp(-s),  s in [-8, 8]

Source:
    OmniMotion (ICCV 2023), after Real-NVP.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

NUM_PARAMETERS = 2
LARGEST_LOG_SCALE = 8.0


class Affine(NamedTuple):
    """Scale and shift of one map per point: `log_scale` and `shift` (...)."""

    log_scale: Tensor
    shift: Tensor


def affine_from_parameters(raw: Tensor) -> Affine:
    """Turn unconstrained parameters (..., 2), log scale and shift, into a map; zeros give the identity."""
    return Affine(raw[..., 0].clamp(-LARGEST_LOG_SCALE, LARGEST_LOG_SCALE), raw[..., 1])


def evaluate(affine: Affine, x: Tensor) -> Tensor:
    """f(x) for x (...), one map per point."""
    return (x - affine.shift) * torch.exp(-affine.log_scale)


def invert(affine: Affine, y: Tensor) -> Tensor:
    """The x with f(x) = y."""
    return y * torch.exp(affine.log_scale) + affine.shift
