"""Refinement of matches to where the frames themselves agree best, within a few pixels of where their features do.

Source:
    Measured on the development clips: median error of correct matches 1.68 px at 256 x 256 from cell to cell, 1.01
    after the refinement by features, 0.79 after this one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.raster import Array

LEAST_BEND = 1e-6  # of similarities along a line; with less, there is no peak


def refine_by_patches(
    patches: FramePatches, source: int, target: int, pixels: tuple[Array, Array], step_px: float, steps: int
) -> tuple[Array, Array]:
    """Move both ends of matches, each by half of their offset from the best agreement of their patches.

    The best agreement is searched around either end with the patch of the other end: both frames are treated equally.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        patches: Patches of the clip's frames.
        source: One frame.
        target: The other frame.
        pixels: (M, 2) pixels in each frame.
        step_px: Distance between the positions that are tried, in pixels.
        steps: Number of positions that are tried to each side; a parabola gives the peak between them.

    Returns:
        (M, 2) float32 pixels in each frame.
    """
    here, there = pixels
    onward = best_offset(patches, source, here, target, there, step_px, steps)
    backward = best_offset(patches, target, there, source, here, step_px, steps)
    shift = (onward - backward) / np.float32(4)
    return here - shift, there + shift


def best_offset(
    patches: FramePatches, source: int, here: Array, target: int, there: Array, step_px: float, steps: int
) -> Array:
    """(M, 2) offset from `there` (M, 2) at which the target frame best matches the source frame at `here` (M, 2)."""
    side = 2 * steps + 1
    wanted = patches.patches(source, here)
    reach = np.arange(-steps, steps + 1, dtype=np.float32) * step_px
    tried = [patches.similarity(wanted, target, there + np.array([x, y], np.float32)) for y in reach for x in reach]
    similarity = np.stack(tried, -1).reshape(-1, side, side)
    row, column = np.divmod(similarity.reshape(-1, side * side).argmax(-1), side)
    match = np.arange(len(similarity))
    x = column + _peak(similarity[match, row], column)
    y = row + _peak(similarity[match, :, column], row)
    return np.asarray((np.stack([x, y], -1) - steps) * step_px, np.float32)


def _peak(line: Array, at: NDArray[np.integer]) -> NDArray[np.floating]:
    """(M,) offset from `at` (M,) of the peak of the parabola through this and the adjacent values of lines (M, n)."""
    match, last = np.arange(len(line)), line.shape[1] - 1
    before, here = line[match, np.maximum(at - 1, 0)], line[match, at]
    after = line[match, np.minimum(at + 1, last)]
    bend = 2 * here - before - after
    offset = (after - before) / (2 * np.maximum(bend, LEAST_BEND))
    return np.where((at > 0) & (at < last) & (bend > LEAST_BEND), offset.clip(-0.5, 0.5), 0)
