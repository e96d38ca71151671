"""Similarity of two thumbnails: the share of one that is found in the other, and the share of changed colours.

Patches of one thumbnail are searched for everywhere in the other, whatever their brightness and contrast. A match
counts if neighbouring patches have similar displacements.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_SIDE = 64  # longest side: a patch is an eighth of it
PATCH = 8  # side in pixels of the thumbnail
STRIDE = 4  # distance in pixels between the patches that are searched for
FINE, COARSE = 1, 2  # distance in pixels between the positions that are searched
CONTRAST = 3.0  # standard deviation of a patch, in levels, above which it has contrast
NOISE = 1.0  # levels: a patch with less contrast is similar to no other
BLUR_PX = 0.7
ALIKE = 0.75  # correlation of a patch and its match, above which it is found
TOGETHER_PX = 2  # largest difference between the displacements of neighbours that move together
SUPPORT = 2  # least number of neighbours that move together with a patch
LEAST_SHOWN = 0.2  # of all patches: lower bound of the number of patches with contrast, the denominator of a share
BINS = 8  # of each colour channel
SAME_SCENE = 0.45  # share of patches that are found, from which two frames show the same scene, whatever the colours

Image = NDArray[np.uint8]
Array = NDArray[np.float32]


def thumbnail(frame: Image) -> Image:
    """Resize a frame (H, W, 3) to a longest side of `THUMBNAIL_SIDE` pixels, with no side shorter than a patch."""
    height, width = frame.shape[:2]
    scale = THUMBNAIL_SIDE / max(height, width)
    size = max(PATCH, round(width * scale)), max(PATCH, round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


@dataclass(frozen=True)
class Likeness:
    """The similarity of two frames: the share of one that is found in the other, and the share of differing colours."""

    share: float
    recolored: float


@dataclass(frozen=True)
class _Patches:
    """Patches of a thumbnail, row by row.

    Attributes:
        values: (N, 3 * PATCH * PATCH), zero mean per channel, almost unit length if the patch has contrast.
        columns: Number of patches in a row.
        probes: (h, w) indices of the patches that are searched for.
        showing: (h, w) whether these patches have contrast.
    """

    values: Array
    columns: int
    probes: NDArray[np.int64]
    showing: NDArray[np.bool_]


def _cut_out(image: Image, step: int) -> _Patches:
    """Cut out the patches at positions `step` pixels apart."""
    smooth = cv2.GaussianBlur(image.astype(np.float32), (0, 0), BLUR_PX)
    windows = np.lib.stride_tricks.sliding_window_view(smooth, (PATCH, PATCH), axis=(0, 1))[::step, ::step]
    values = windows.reshape(-1, 3, PATCH * PATCH)
    values = (values - values.mean(2, keepdims=True)).reshape(len(values), -1)
    variance = (values**2).mean(1)
    rows, columns = windows.shape[:2]
    probes = np.arange(rows * columns).reshape(rows, columns)[:: STRIDE // step, :: STRIDE // step]
    values = values / np.sqrt((variance[:, None] + NOISE**2) * values.shape[1])
    return _Patches(values, columns, probes, variance[probes] > CONTRAST**2)


class View:
    """The thumbnail of a frame (H, W, 3) uint8 RGB, with features that are computed on demand."""

    def __init__(self, frame: Image) -> None:
        self.image = thumbnail(frame)
        self._patches: dict[int, _Patches] = {}

    def difference(self, other: View) -> float:
        """Return the mean absolute difference of two thumbnails, in levels."""
        return float(cv2.absdiff(self.image, other.image).mean())

    @cached_property
    def colors(self) -> Array:
        """(BINS ** 3,) share of the pixels with each colour."""
        image: Any = cv2.blur(self.image, (3, 3))
        histogram = cv2.calcHist([image], [0, 1, 2], None, [BINS] * 3, [0, 256] * 3)
        return np.asarray(histogram.ravel() / histogram.sum(), np.float32)

    def patches(self, step: int = FINE) -> _Patches:
        """Return the patches at positions `step` pixels apart."""
        if step not in self._patches:
            self._patches[step] = _cut_out(self.image, step)
        return self._patches[step]

    @cached_property
    def detail(self) -> float:
        """Mean gradient in levels."""
        grey = cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())

    @property
    def shown(self) -> float:
        """Share of the patches with contrast."""
        return float(self.patches(COARSE).showing.mean())


def compare(first: View, second: View) -> Likeness:
    """Return the similarity of two frames, in either order."""
    if np.array_equal(first.image, second.image):
        return Likeness(1.0, 0.0)
    recolored = 1 - float(np.minimum(first.colors, second.colors).sum())
    share = found_in(first, second, FINE)
    return Likeness(share if share >= SAME_SCENE else max(share, found_in(second, first, FINE)), recolored)


def found_in(view: View, other: View, step: int) -> float:
    """Return the share of a frame's patches with contrast that another contains, at positions `step` pixels apart."""
    sought, places = view.patches(step), other.patches(step)
    likeness = sought.values[sought.probes.ravel()] @ places.values.T
    place = likeness.argmax(1)
    best = likeness[np.arange(len(place)), place].reshape(sought.probes.shape)
    good = (best > ALIKE) & sought.showing
    there = np.stack(np.divmod(place.reshape(good.shape), places.columns), -1)
    moved = (there - np.stack(np.divmod(sought.probes, sought.columns), -1)) * step
    support = np.zeros(good.shape, int)
    for offset in (offset for offset in np.ndindex(3, 3) if offset != (1, 1)):
        here, beside = _overlap(offset[0] - 1, offset[1] - 1, good.shape)
        alike = np.abs(moved[beside] - moved[here]).max(-1) <= TOGETHER_PX
        support[here] += alike & good[beside]
    shown = max(float(sought.showing.sum()), LEAST_SHOWN * good.size)
    return float((good & (support >= SUPPORT)).sum() / shown)


def _overlap(dy: int, dx: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of the positions that have a neighbour at (dy, dx), and of these neighbours."""
    rows, columns = (
        (slice(max(0, -d), n - max(0, d)), slice(max(0, d), n + min(0, d)))
        for d, n in zip((dy, dx), shape, strict=True)
    )
    return (rows[0], columns[0]), (rows[1], columns[1])
