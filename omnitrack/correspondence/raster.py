"""Pixels of a frame: regular grids of them, and interpolation between them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.units import raster_scale

Array = NDArray[np.float32]
_LONGEST_MAP = 1 << 14  # cv2.remap refuses maps longer than 32767 along one side
_REMAP_COLUMNS = 512


def sample(image: NDArray[Any], pixels: Array) -> NDArray[Any]:
    """Read an image between its pixels (bilinear; beyond the border the border's value).

    Convention:
        Pixels are (x, y), centres at integers.

    Args:
        image: (H, W) or (H, W, C), a type that OpenCV remaps (uint8, float32).
        pixels: (P, 2) positions.

    Returns:
        (P,) or (P, C) values, of the image's type.
    """
    count = len(pixels)
    columns = min(_REMAP_COLUMNS, max(count, 1))
    rows = max(-(-count // columns), 1)  # OpenCV refuses an empty map
    maps = np.zeros((rows * columns, 2), np.float32)
    maps[:count] = pixels
    x, y = maps.T.reshape(2, rows, columns)
    return read(image, x, y).reshape(rows * columns, *image.shape[2:])[:count]


def read(image: NDArray[Any], x: Array, y: Array) -> NDArray[Any]:
    """Like `sample`, at maps x and y (P, n) with n at most 32767: (P, n) or (P, n, C) values."""
    values = np.empty((*x.shape, *image.shape[2:]), image.dtype)
    for first in range(0, len(x), _LONGEST_MAP):
        part = slice(first, first + _LONGEST_MAP)
        read_part = cv2.remap(image, x[part], y[part], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        values[part] = np.asarray(read_part).reshape(values[part].shape)  # OpenCV drops a single channel
    return values


def crop_around(image: NDArray[Any], pixels: Array) -> tuple[NDArray[Any], Array]:
    """The part of an image that `sample` reads at pixels, and those pixels relative to it.

    An image that is stored in another form has to be decoded only in that part. Corners are whole numbers, so the
    pixels lose no bit, and `sample` returns the same values as for the whole image.

    Args:
        image: (H, W) or (H, W, C), of any type; a view of it is returned.
        pixels: (P, 2) positions, anywhere.
    """
    if not len(pixels):
        return image[:1, :1], pixels
    height, width = image.shape[:2]
    lowest, highest = (np.array([of(pixels[:, axis]) for axis in (0, 1)]) for of in (np.min, np.max))
    left, top = np.floor(lowest).clip(0, (width - 1, height - 1)).astype(int)
    right, bottom = (np.floor(highest).clip(0, (width - 1, height - 1)) + 2).astype(int)
    return image[top:bottom, left:right], pixels - np.array([left, top], np.float32)


def lengths(vectors: NDArray[np.floating]) -> NDArray[Any]:
    """Lengths (...,) of vectors (..., 2), as by numpy's norm, which is thirty times slower along an axis this short."""
    return np.asarray(np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2))


def inside(pixels: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether pixels (..., 2) are on the frame of `size` (width, height): within half a pixel of a centre."""
    return np.asarray(
        (pixels[..., 0] >= -0.5)
        & (pixels[..., 0] <= size[0] - 0.5)
        & (pixels[..., 1] >= -0.5)
        & (pixels[..., 1] <= size[1] - 0.5)
    )


def pixel_grid(size: tuple[int, int], stride: int = 1) -> Array:
    """The centres of a regular grid of pixels, row by row.

    Returns:
        (rows * columns, 2) float32 pixels; `grid_shape` returns (rows, columns).
    """
    rows, columns = grid_shape(size, stride)
    offset = (stride - 1) // 2
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    return np.stack([x * stride + offset, y * stride + offset], -1).reshape(-1, 2)


def grid_shape(size: tuple[int, int], stride: int = 1) -> tuple[int, int]:
    """(rows, columns) of `pixel_grid`."""
    offset = (stride - 1) // 2
    return -(-(size[1] - offset) // stride), -(-(size[0] - offset) // stride)


COARSE_SPACING_PX = 6.0  # at 256 x 256


@dataclass(frozen=True)
class CoarseGrid:
    """A coarse regular grid of pixels of a frame, `COARSE_SPACING_PX` apart, at least two, with interpolation between.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Attributes:
        pixels: (P, 2) row by row.
        shape: (rows, columns), P = rows * columns.
        stride: Distance between grid places, in pixels.
    """

    pixels: Array
    shape: tuple[int, int]
    stride: int

    @staticmethod
    @lru_cache(8)
    def of(size: tuple[int, int]) -> CoarseGrid:
        """The grid of frames of `size` (width, height)."""
        stride = max(2, round(COARSE_SPACING_PX * raster_scale(size)))
        return CoarseGrid(pixel_grid(size, stride), grid_shape(size, stride), stride)

    def read(self, values: Array, pixels: Array) -> Array:
        """Read values (rows, columns) of the grid at any pixels (P, 2): (P,), bilinear, constant beyond the border."""
        return np.asarray(sample(values, (pixels - self.pixels[0]) / np.float32(self.stride)), np.float32)
