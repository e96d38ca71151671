"""A drawing with transparency, carried over the pixels of another frame and laid over it.

Convention:
    A layer is (H, W, 4) float32 RGBA in [0, 1] whose colours are multiplied by their alpha, so that resampling mixes
    colours by how much of them there is. Pixels (x, y) have their centres at integers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SPECK_CELLS = 3  # the median's window: single cells vanish, edges and what is two cells wide stay
JUMP_CELLS = 2.0  # neighbours that part by more than this many of their spacings are on two surfaces

Layer = NDArray[np.float32]


def make_layer(image: NDArray[Any], size: tuple[int, int]) -> Layer:
    """An RGBA image as a layer of another size.

    Args:
        image: (h, w, 4) of unsigned integers, their largest value being full.
        size: (width, height) of the layer; the image is stretched to it.
    """
    layer: Layer = np.asarray(image / np.float32(np.iinfo(image.dtype).max), np.float32)
    layer[..., :3] *= layer[..., 3:]
    if (layer.shape[1], layer.shape[0]) == size:
        return layer
    shrinks = size[0] < layer.shape[1]
    resized = cv2.resize(layer, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def without_specks(
    displacement: NDArray[np.floating], visible: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Displacement and visibility by the median of each cell's neighbourhood; single wrong cells would fray a drawing.

    Args:
        displacement: (h, w, 2); a cell where it is not finite becomes still and invisible.
        visible: (h, w) bool.

    Returns:
        (h, w, 2) and (h, w).
    """
    finite = np.isfinite(displacement).all(-1)
    known = np.where(finite[..., None], displacement, 0).astype(np.float32)
    parts = [cv2.medianBlur(np.ascontiguousarray(known[..., axis]), SPECK_CELLS) for axis in (0, 1)]
    seen = cv2.medianBlur((visible & finite).astype(np.uint8), SPECK_CELLS)
    return np.stack(parts, -1).astype(np.float32), seen > 0


def carry_layer(layer: Layer, displacement: NDArray[np.floating], visible: NDArray[np.bool_]) -> Layer:
    """Draw a layer over another frame, given where that frame's pixels are in the frame of the layer.

    A pixel takes what the layer shows at its place, and as much of it as it is visible there. Displacement and
    visibility are known on a coarse grid that covers the frame; between its four nearest cells both are interpolated
    linearly, which makes soft edges. Cells that have parted from the interpolated displacement are on another surface:
    they keep their own, so that an edge between two surfaces does not show what lies between their places.

    Args:
        layer: (H, W, 4).
        displacement: (h, w, 2) from a cell of this frame to its place in the frame of the layer, in pixels of the
            layer; finite.
        visible: (h, w) bool: the cell is seen in the frame of the layer.

    Returns:
        (H, W, 4).
    """
    height, width = layer.shape[:2]
    rows, columns = visible.shape
    coarse, shown = np.asarray(displacement, np.float32), visible.astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    jump = JUMP_CELLS * np.array((width / columns, height / rows), np.float32)
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    carried = np.zeros_like(layer)
    for row, share_y in _nearest_two(height, rows):
        for column, share_x in _nearest_two(width, columns):
            own = coarse[row[:, None], column]
            one_surface = (np.abs(smooth - own) <= jump).all(-1, keepdims=True)
            place = pixels + np.where(one_surface, smooth, own)
            seen = cv2.remap(layer, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            weight = shown[row[:, None], column] * share_y[:, None] * share_x
            carried += weight[..., None] * seen
    return carried


def lay_over(picture: NDArray[np.uint8], layer: Layer) -> NDArray[np.uint8]:
    """A picture (H, W, 3) with a layer of its size over it."""
    behind = picture * (1 - layer[..., 3:])
    return np.rint(np.clip(behind + 255 * layer[..., :3], 0, 255)).astype(np.uint8)


def _nearest_two(length: int, cells: int) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each of `length` pixels the cell before and the one after it, both with their share; they cover one span."""
    place = (np.arange(length) + 0.5) * (cells / length) - 0.5
    before = np.floor(place).astype(np.int64)
    share = (place - before).astype(np.float32)
    return [(before.clip(0, cells - 1), 1 - share), ((before + 1).clip(0, cells - 1), share)]
