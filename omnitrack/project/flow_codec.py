"""Flow as small integers: fixed point, coded so that it compresses well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STEPS_PER_PX = 32.0  # finer than any estimator is right
_LARGEST = 32767


@dataclass(frozen=True)
class EncodedFlow:
    """One flow as it is stored.

    Attributes:
        deltas: (2, H, W) int16; x displacements, then y; each row holds its first value and then the differences
            from the value to the left, modulo 2^16.
        steps_per_px: Integer steps per pixel, a power of two.
    """

    deltas: NDArray[np.int16]
    steps_per_px: float


def encode(flow: NDArray[np.float32]) -> EncodedFlow:
    """Round a flow (H, W, 2) in finite pixels to fixed point; steps are coarser where displacements are too long."""
    largest = float(np.abs(flow).max(initial=0.0))
    steps_per_px = STEPS_PER_PX
    while largest * steps_per_px > _LARGEST:
        steps_per_px /= 2
    steps = np.rint(flow * np.float32(steps_per_px)).astype(np.int16).transpose(2, 0, 1)
    deltas = steps.copy()
    deltas[..., 1:] -= steps[..., :-1]  # wraps around; the running sum in `decode` wraps back
    return EncodedFlow(deltas, steps_per_px)


def decode(encoded: EncodedFlow) -> NDArray[np.float32]:
    """The rounded flow (H, W, 2) float32 in pixels; encoding it again changes nothing."""
    steps = np.cumsum(encoded.deltas, axis=-1, dtype=np.int16)
    return np.ascontiguousarray(steps.transpose(1, 2, 0), np.float32) / np.float32(encoded.steps_per_px)
