"""The recursive filter of `blank_areas.py`, to the bit the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.raster import Array


def recursive(data: Array, kept: Array) -> Array:
    """See `omnitrack.correspondence.blank_areas.recursive`."""
    data = np.array(data, order="C")
    _run(data, np.ascontiguousarray(kept[..., 0]))
    return data


@exact
def _run(data: NDArray[Any], kept: NDArray[Any]) -> None:
    rows, columns, channels = data.shape
    for row in range(1, rows):
        for column in range(columns):
            for channel in range(channels):
                data[row, column, channel] += kept[row, column] * (
                    data[row - 1, column, channel] - data[row, column, channel]
                )
    for row in range(rows - 2, -1, -1):
        for column in range(columns):
            for channel in range(channels):
                data[row, column, channel] += kept[row + 1, column] * (
                    data[row + 1, column, channel] - data[row, column, channel]
                )
