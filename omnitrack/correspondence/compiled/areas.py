"""The recursive filter of `blank_areas.py`, compiled and bit-identical."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.compiling import exact
from omnitrack.correspondence.raster import Array


def recursive(data: Array, kept: Array) -> Array:
    """See `omnitrack.correspondence.blank_areas.recursive`."""
    planes = np.array(data.transpose(0, 2, 1), order="C")  # with columns last, the inner loop runs along them
    _run(planes, np.ascontiguousarray(kept[..., 0]))
    return planes.transpose(0, 2, 1)


@exact
def _run(planes: NDArray[Any], kept: NDArray[Any]) -> None:
    rows, channels, columns = planes.shape
    for row in range(1, rows):
        for channel in range(channels):
            here, before, share = planes[row, channel], planes[row - 1, channel], kept[row]
            for column in range(columns):
                here[column] += share[column] * (before[column] - here[column])
    for row in range(rows - 2, -1, -1):
        for channel in range(channels):
            here, after, share = planes[row, channel], planes[row + 1, channel], kept[row + 1]
            for column in range(columns):
                here[column] += share[column] * (after[column] - here[column])
