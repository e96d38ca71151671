"""The comparison of patches of `appearance.py`, the same but for the order of its sums."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import summing
from omnitrack.correspondence.raster import Array

COLOURS = 3


def similarity(patches: Array, samples: NDArray[Any], noise: float) -> Array:
    """See `omnitrack.correspondence.appearance.similarity`."""
    found = np.empty(len(patches), np.float32)
    _compare(np.ascontiguousarray(patches), np.ascontiguousarray(samples), np.float32(noise), found)
    return found


@summing
def _compare(patches: NDArray[Any], samples: NDArray[Any], noise: np.float32, found: NDArray[Any]) -> None:
    count = patches.shape[1]
    for row in range(len(patches)):
        patch, sample = patches[row], samples[row]
        both, first, second = np.float32(0), np.float32(0), np.float32(0)
        for n in range(count):
            a, b = patch[n], np.float32(sample[n])
            both += a * b
            first += a * a
            second += b * b
        sums = 0.0
        for colour in range(COLOURS):
            total = np.float32(0)
            for n in range(colour, count, COLOURS):
                total += np.float32(sample[n])
            sums += np.float64(total) * np.float64(total)
        length = np.float64(first) + (np.float64(second) - sums * COLOURS / count)
        found[row] = min((2 * np.float64(both) + noise) / (length + noise), 1.0)
