"""The patch comparison of `appearance.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.appearance import COLOURS, NOISE_LENGTH, Patches
from omnitrack.correspondence.raster import Array

Numbers = NDArray[Any]


def similarity(patches: Patches, samples: NDArray[np.uint8], tint: bool = False) -> Array:
    """See `omnitrack.correspondence.appearance.similarity`."""
    found = np.empty(len(samples), np.float32)
    if len(found):
        noise = NOISE_LENGTH * samples.shape[1]
        own, samples = np.ascontiguousarray(patches.samples), np.ascontiguousarray(samples)
        _compare(noise, tint, own, patches.sums, patches.squares, samples, found)
    return found


@exact
def _compare(
    noise: float, tint: bool, own: Numbers, own_sums: Numbers, own_squares: Numbers, samples: Numbers, found: Numbers
) -> None:
    count = own.shape[1]
    each = count // COLOURS
    for row in range(len(own)):
        first, second = own[row], samples[row]
        both, squared = np.int32(0), np.int32(0)
        for n in range(len(second)):
            value = np.int32(second[n])
            both = np.int32(both + np.int32(np.int32(first[n]) * value))
            squared = np.int32(squared + np.int32(value * value))
        product, length, own_length = 0.0, 0.0, 0.0  # of the sums over a mean's samples
        everything, own_everything = 0.0, 0.0
        for colour in range(COLOURS):
            total = np.int32(0)
            for n in range(each):
                total = np.int32(total + np.int32(second[n * COLOURS + colour]))
            own_total = own_sums[row, colour]
            product += own_total * total
            length += np.float64(total) * total
            own_length += own_total * own_total
            everything += total
            own_everything += own_total
        averaged = each
        if tint:
            product, length, own_length = own_everything * everything, everything**2, own_everything**2
            averaged = count
        common = both - product / averaged
        lengths = (own_squares[row] - own_length / averaged) + (squared - length / averaged)
        found[row] = min((2 * common + noise) / (lengths + noise), 1.0)
