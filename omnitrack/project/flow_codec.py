"""Flow as fixed-point integers, coded so that it compresses well."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.flow_steps import steps_to_pixels

STEPS_PER_PX = 32.0  # finer than the error of any estimator
COMPRESSION = 4  # level of zlib: takes a quarter more time and a twelfth less space than 1
INTEGER = np.dtype("<i2")
_LARGEST = 32767


@dataclass(frozen=True)
class EncodedFlow:
    """One flow as stored.

    Attributes:
        deltas: (2, H, W) little-endian int16: x displacements, then y, in steps; the first row holds values, the rows
            below it the differences from the row above, modulo 2^16.
        steps_per_px: Steps per pixel, a power of two.
    """

    deltas: NDArray[np.int16]
    steps_per_px: float


def encode(flow: NDArray[np.float32]) -> EncodedFlow:
    """Round a finite flow (H, W, 2) in pixels to fixed point; steps are coarser if displacements are too long."""
    largest = float(np.abs(flow).max(initial=0.0))
    steps_per_px = STEPS_PER_PX
    while largest * steps_per_px > _LARGEST:
        steps_per_px /= 2
    steps = np.rint(flow * np.float32(steps_per_px)).astype(INTEGER).transpose(2, 0, 1)
    deltas = np.ascontiguousarray(steps)
    deltas[:, 1:] -= steps[:, :-1]  # wraps around; the running sum in `decode` wraps back
    return EncodedFlow(deltas, steps_per_px)


def decode(encoded: EncodedFlow) -> NDArray[np.float32]:
    """Return the rounded flow (H, W, 2) float32 in pixels; encoding it again changes nothing."""
    return steps_to_pixels(decode_steps(encoded), encoded.steps_per_px)


def decode_steps(encoded: EncodedFlow) -> NDArray[np.int16]:
    """Return the flow (H, W, 2) in integer steps, which take half the memory of pixels."""
    return np.asarray(cv2.merge(list(np.cumsum(encoded.deltas, axis=1, dtype=np.int16))))


def pack(deltas: NDArray[np.int16]) -> bytes:
    """Compress an array as HDF5's filters shuffle and gzip do, but outside the lock that serialises all HDF5 calls."""
    shuffled = np.ascontiguousarray(deltas, INTEGER).view(np.uint8).reshape(-1, INTEGER.itemsize).T
    return zlib.compress(shuffled.tobytes(), COMPRESSION)


def unpack(data: bytes, shape: tuple[int, ...]) -> NDArray[np.int16]:
    """Restore the array that `pack` compressed.

    Raises:
        ValueError: The data do not have that shape, or are damaged.
    """
    expected = math.prod(shape) * INTEGER.itemsize
    unpacking = zlib.decompressobj()
    try:
        content = unpacking.decompress(data, expected + 1)  # at most, whatever the data contain
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(content) != expected or not unpacking.eof:
        raise ValueError(f"it does not unpack to {expected} bytes")
    shuffled = np.frombuffer(content, np.uint8).reshape(INTEGER.itemsize, -1)
    interleaved = cv2.merge(list(shuffled[:, None]))  # several times faster than numpy's transposition
    return np.asarray(interleaved).view(INTEGER).reshape(shape)
