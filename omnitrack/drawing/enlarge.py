"""Upsampling of a coarse motion map to the size of a picture: smooth within a surface, sharp between surfaces."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.edit import JUMP_CELLS


def enlarge_motion(
    displacement: NDArray[np.floating], seen: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Upsample displacement and visibility to every pixel of a larger picture.

    Convention:
        Grid and picture cover the same area: the centre of a cell is the centre of its pixels.

    Args:
        displacement: (h, w, 2) in cells, finite.
        seen: (h, w) bool: whether a cell is visible.
        size: (width, height) of the picture.

    Returns:
        (H, W, 2) in pixels of the picture: interpolated linearly, or the nearest cell's displacement where the two
        differ by more than neighbours on one surface do. (H, W) visibility in [0, 1], with soft edges.
    """
    rows, columns = seen.shape
    stretch = np.array(size, np.float32) / np.array((columns, rows), np.float32)
    coarse = np.asarray(displacement * stretch, np.float32)
    if size == (columns, rows):
        return coarse, seen.astype(np.float32)
    smooth = cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR)
    nearest = cv2.resize(coarse, size, interpolation=cv2.INTER_NEAREST_EXACT)
    one_surface = (np.abs(smooth - nearest) <= JUMP_CELLS * stretch).all(-1, keepdims=True)
    shown = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.where(one_surface, smooth, nearest).astype(np.float32), np.asarray(shown, np.float32)
