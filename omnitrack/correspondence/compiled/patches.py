"""The patch comparisons of `appearance.py` and `warped_patches.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.appearance import COLOURS, NOISE_LENGTH, Patches
from omnitrack.correspondence.raster import Array
from omnitrack.correspondence.warped_patches import MOST_OTHER, UNLIKE

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


def weighted_similarity(weights: NDArray[np.int32], first: NDArray[np.uint8], second: NDArray[np.uint8]) -> Array:
    """See `omnitrack.correspondence.warped_patches.weighted_similarity`."""
    found, total = np.empty(len(first), np.float32), float(weights.sum())
    own, other = (
        np.ascontiguousarray(samples).reshape(len(samples), COLOURS * len(weights)) for samples in (first, second)
    )
    _compare_weighted(COLOURS * NOISE_LENGTH * total, total, np.repeat(weights, COLOURS), own, other, found)
    return found


@exact
def _compare_weighted(
    noise: float, total: float, weights: Numbers, firsts: Numbers, seconds: Numbers, found: Numbers
) -> None:
    count = len(weights)
    for row in range(len(firsts)):
        first, second = firsts[row], seconds[row]
        both, own_squared, squared = np.int32(0), np.int32(0), np.int32(0)
        for n in range(count):
            own, other = np.int32(first[n]), np.int32(second[n])
            weighted = np.int32(weights[n] * other)
            both = np.int32(both + np.int32(own * weighted))
            squared = np.int32(squared + np.int32(other * weighted))
            own_squared = np.int32(own_squared + np.int32(np.int32(weights[n] * own) * own))
        product, length, own_length, apart = 0.0, 0.0, 0.0, 0.0
        for colour in range(COLOURS):
            own_sum, other_sum = np.int32(0), np.int32(0)
            for n in range(colour, count, COLOURS):
                own_sum = np.int32(own_sum + np.int32(weights[n] * np.int32(first[n])))
                other_sum = np.int32(other_sum + np.int32(weights[n] * np.int32(second[n])))
            product += np.float64(own_sum) * other_sum
            length += np.float64(other_sum) * other_sum
            own_length += np.float64(own_sum) * own_sum
            apart = max(apart, np.float64(abs(own_sum - other_sum)))
        common = 2 * (both - product / total) + noise
        lengths = (own_squared - own_length / total) + (squared - length / total)
        found[row] = UNLIKE if apart > MOST_OTHER * total else common / (lengths + noise)
