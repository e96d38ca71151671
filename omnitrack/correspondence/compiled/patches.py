"""The patch comparison of `appearance.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.appearance import COLOURS, NOISE_LENGTH, Patches
from omnitrack.correspondence.raster import Array

Numbers = NDArray[Any]


def similarity(patches: Patches, samples: NDArray[np.uint8]) -> Array:
    """See `omnitrack.correspondence.appearance.similarity`."""
    found = np.empty(len(samples), np.float32)
    if len(found):
        noise = NOISE_LENGTH * samples.shape[1]
        own, samples = np.ascontiguousarray(patches.samples), np.ascontiguousarray(samples)
        _compare(noise, own, patches.sums, patches.lengths, samples, found)
    return found


@exact
def _compare(
    noise: float, own: Numbers, own_sums: Numbers, own_lengths: Numbers, samples: Numbers, found: Numbers
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
        product, length = 0.0, 0.0
        for colour in range(COLOURS):
            total = np.int32(0)
            for n in range(each):
                total = np.int32(total + np.int32(second[n * COLOURS + colour]))
            product += own_sums[row, colour] * total
            length += np.float64(total) * total
        common, length = both - product / each, squared - length / each
        found[row] = min((2 * common + noise) / (own_lengths[row] + length + noise), 1.0)
