"""Drawings with transparency, warped to other frames and composited over them.

Convention:
    A layer is (H, W, 4) float32 RGBA in [0, 1] with premultiplied alpha, so that resampling weights colours by their
    opacity. Pixels (x, y) have their centres at integers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SPECK_CELLS = 3  # window of the median: removes single cells, keeps edges and parts that are two cells wide
JUMP_CELLS = 2.0  # neighbours whose displacements differ by more than this are on two surfaces

Layer = NDArray[np.float32]


def make_layer(image: NDArray[Any], size: tuple[int, int]) -> Layer:
    """Convert an RGBA image to a layer of another size.

    Args:
        image: (h, w, 4) unsigned integers; the largest value of their type stands for 1.
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
    """Median-filter displacement and visibility; single wrong cells would fray a drawing.

    Args:
        displacement: (h, w, 2); cells that are not finite count as zero and invisible.
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
    """Warp a layer to another frame, given the positions of that frame's pixels in the frame of the layer.

    A pixel samples the layer at its position there, weighted by its visibility. Displacement and visibility are given
    on a coarse grid that covers the frame, and interpolated linearly between the four nearest cells, which makes soft
    edges. A cell whose displacement differs too much from the interpolated one is on another surface and keeps its own,
    so that an edge between two surfaces does not show what lies between their positions in the layer.

    Args:
        layer: (H, W, 4).
        displacement: (h, w, 2) from a cell of this frame to its position in the frame of the layer, in pixels of
            the layer; finite.
        visible: (h, w) bool: whether the cell is visible in the frame of the layer.

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
    """Composite a layer over a picture (H, W, 3) of the same size."""
    behind = picture * (1 - layer[..., 3:])
    return np.rint(np.clip(behind + 255 * layer[..., :3], 0, 255)).astype(np.uint8)


def _nearest_two(length: int, cells: int) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """For each of `length` pixels, the cells before and after it with their weights; both cover the same span."""
    place = (np.arange(length) + 0.5) * (cells / length) - 0.5
    before = np.floor(place).astype(np.int64)
    share = (place - before).astype(np.float32)
    return [(before.clip(0, cells - 1), 1 - share), ((before + 1).clip(0, cells - 1), share)]
