"""Flow in whole steps, a fixed fraction of a pixel each: half the memory of flow in pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.raster import Array

PLACES_PER_PX = 32  # positions between two pixels that are distinguished
PLACE_BITS = PLACES_PER_PX.bit_length() - 1
Steps = NDArray[np.int16]


def steps_to_pixels(steps: Steps, steps_per_px: float) -> Array:
    """Convert flow in steps to flow in pixels."""
    return np.multiply(steps, np.float32(1 / steps_per_px), dtype=np.float32)


def flow_at(steps: Steps, steps_per_px: float, pixels: Array) -> Array:
    """Read flow between its pixels (bilinear, at the nearest 1/32 px; beyond the border the border's value).

    Convention:
        Pixels are (x, y), centres at integers.

    Args:
        steps: (H, W, 2) flow in steps.
        steps_per_px: Steps per pixel, a power of two.
        pixels: (P, 2) positions.

    Returns:
        (P, 2) flow in pixels. Up to 16,384 steps, float32 holds each sum exactly, whatever its order.
    """
    height, width = steps.shape[:2]
    places = np.rint(np.asarray(pixels, np.float32) * np.float32(PLACES_PER_PX)).astype(np.int64)
    left, top = (places >> PLACE_BITS).T
    right_share, lower_share = ((places & (PLACES_PER_PX - 1)) * np.float32(1 / PLACES_PER_PX)).astype(np.float32).T
    columns = [np.clip(left + one, 0, width - 1) for one in (0, 1)]
    rows = [np.clip(top + one, 0, height - 1) * width for one in (0, 1)]
    flat = np.ascontiguousarray(steps).view(np.int32).reshape(-1)  # both components of a pixel in one number
    found = np.zeros((len(pixels), 2), np.float32)
    for row, down in zip(rows, (1 - lower_share, lower_share), strict=True):
        for column, across in zip(columns, (1 - right_share, right_share), strict=True):
            corner = flat.take(row + column).view(np.int16).reshape(-1, 2)
            found += corner * (across * down * np.float32(1 / steps_per_px))[:, None]
    return found


FlowAt = Callable[[Steps, float, Array], Array]


def _agree(first: FlowAt, second: FlowAt) -> bool:
    random = np.random.default_rng(0)
    steps = random.integers(-(1 << 14), 1 << 14, (9, 7, 2), np.int16, endpoint=True)
    pixels = random.uniform(-3, 12, (200, 2)).astype(np.float32)
    return np.array_equal(first(steps, 32.0, pixels), second(steps, 32.0, pixels))


FLOW_AT = CompiledPart[FlowAt](flow_at, "omnitrack.correspondence.compiled.flow_steps", "flow_at", _agree)
