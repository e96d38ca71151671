"""Flow where there is nothing to see: it follows the motion around it.

What is measured of a place is as certain as its texture: the variance of the flow is at least the inverse of the
structure tensor, times the variance of the noise (the bound of Cramer and Rao). So an edge is certain across and not
along, and a blank wall is not certain at all: there flow follows noise, compression and the light. Here each place
takes, as far as it is uncertain itself, the motion of the texture around it:

    u = v + (O + k)^-1 O (f - v),    v: mean of f around, weighted by certainty

f the measured flow, O its certainty in the patch around the place, k that of the surroundings: the inverse variance of
their flow, so that they say little where they do not agree. Means are taken over wide areas first and over nearer ones
as far as these hold enough texture, and they end at edges, because a thing and what is behind it move apart. Spots that
a median takes away are an area's own texture. Its outline is its own too, or that of what is in front of it: it counts
for next to nothing, which is enough where there is nothing else. So a wall moves with its marks, whatever passes in
front of it, and the inside of a blank thing with its outline.

Source:
    Areas that end at edges: the recursive filter of Gastal and Oliveira, Domain Transform for Edge-Aware Image and
    Video Processing, SIGGRAPH 2011.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.compiled_parts import CompiledPart
from omnitrack.correspondence.raster import Array
from omnitrack.units import raster_scale

# All lengths at 256 x 256, brightness in levels of 0 to 255.
SPOT_PX = 8.0  # what is smaller is texture of what it is on
MOST_MEDIAN = 127  # pixels of the frame either way that OpenCV takes medians over
BLUR_PX = 0.8  # before gradients are taken
LEAST_GRADIENT = 0.8  # levels per px: rounding, compression and noise have this much
LEAST_VARIANCE_PX2 = 0.25  # of a pixel's flow, however strong its gradient is: models are wrong, too
PATCH_PX = 8.0  # side of the patch that flow is measured with
OUTLINE_SHARE = 1e-3  # of its certainty that an outline has for what is on either side of it
OUTLINE = 0.25  # certainty from which on an edge is one, in 1 / px^2
LEAST_SPREAD_PX2 = 0.03  # variance of flow around the mean of its surroundings, where these agree
MOST_VARIANCE_PX2 = 25.0  # ... and what is larger says nothing more
ENOUGH = 300.0  # certainty, in 1 / px^2, that says how far surroundings agree
REACHES_PX = (128.0, 32.0, 8.0)
SPACING_PX = 2.0  # of the grid on which means are taken; never finer than the frame
EDGE_LEVELS = 20.0  # a step in colour, summed over the channels, that is as far as an area reaches ...
SHADE_LEVELS = 6.0  # ... beyond what shading changes from one place of the grid to the next
ODD_PX = 2.0  # distance from the mean at which flow counts a quarter
PASSES = 2  # of the filter, along both axes


class BlankAreas:
    """The areas of one frame.

    Convention:
        Flow is a displacement (x, y) in pixels of the frame, x right, y down.

    Args:
        frame: (H, W, 3) uint8.
    """

    def __init__(self, frame: NDArray[np.uint8]) -> None:
        height, width = frame.shape[:2]
        self._scale = scale = raster_scale((width, height))
        self._spacing = max(SPACING_PX, 1 / scale)
        self._small = tuple(max(2, round(side / (self._spacing * scale))) for side in (width, height))
        self._own = _in_patches(_certainty(frame.astype(np.float32), scale), scale)
        self._own *= PATCH_PX**2
        side = 2 * min(max(1, round(SPOT_PX * scale)), MOST_MEDIAN) + 1
        areas = np.asarray(cv2.medianBlur(frame, side), np.uint8)
        self._texture = _texture(frame, areas, scale)
        edges = _edges(self._averaged(areas.astype(np.float32)))
        self._passes = {reach: _passes(edges, reach / self._spacing) for reach in REACHES_PX}

    def follow(self, flow: Array) -> Array:
        """The flow (H, W, 2) of the frame, where it is blank that of its surroundings."""
        found = self._surroundings(flow)
        around = np.asarray(cv2.resize(found, flow.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        held = _times(self._own, flow - around[..., :2])
        return np.asarray(around[..., :2] + _solve(self._own, held, around[..., 2]), np.float32)

    def _surroundings(self, flow: Array) -> Array:
        """Means and how certain they are, on the coarse grid: (h, w, 3)."""
        data = np.concatenate([self._averaged(self._texture), self._averaged(_times(self._texture, flow))], -1)
        coarse, mass = self._averaged(flow), data[..., 0] + data[..., 2]
        mean, known = np.zeros_like(coarse), 1e-6 * np.ones_like(mass)
        share, variance = np.ones_like(mass), np.full_like(mass, MOST_VARIANCE_PX2)
        for reach in (REACHES_PX[0], *REACHES_PX):  # the widest once more, without what is odd
            area = np.float32(2 * np.pi * reach**2)
            held = area * _smooth(data * share[..., None], self._passes[reach])
            mean = _solve(held[..., :3], held[..., 3:] + known[..., None] * mean, known)
            squared = ((coarse - mean) ** 2).sum(-1) / self._scale**2
            weights = np.stack([mass, mass * np.minimum(squared, MOST_VARIANCE_PX2)], -1)
            spread = area * _smooth(weights, self._passes[reach])
            variance = (spread[..., 1] + ENOUGH * variance) / (spread[..., 0] + ENOUGH)
            share, known = 1 / (1 + squared / ODD_PX**2) ** 2, np.float32(1) / (LEAST_SPREAD_PX2 + variance)
        return np.concatenate([mean, known[..., None]], -1)

    def _averaged(self, image: Array) -> Array:
        return np.asarray(cv2.resize(image, self._small, interpolation=cv2.INTER_AREA), np.float32)


def _texture(frame: NDArray[np.uint8], areas: NDArray[np.uint8], scale: float) -> Array:
    """Certainty (H, W, 3) of a frame's spots, and next to none of the outlines of what they are on."""
    outlines = _certainty(areas.astype(np.float32), scale)
    texture = _certainty(frame.astype(np.float32) - areas, scale)
    texture *= _clear_of(outlines, scale)
    beside = _in_patches(outlines, scale)
    beside *= np.exp(-_trace(outlines) / OUTLINE)  # not on them: there sides mix
    beside *= OUTLINE_SHARE
    texture += beside
    return texture


def _certainty(image: Array, scale: float) -> Array:
    """Inverse covariance of the flow by each pixel alone: (H, W, 3) its elements xx, xy and yy, in 1 / px^2.

    In place and colour by colour: frames of 4K are worked on, and a thread of flow has 330 bytes for each pixel.
    """
    blurred = cv2.GaussianBlur(image, (0, 0), BLUR_PX * scale)
    x, y = (cv2.Sobel(blurred, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=scale / 8) for dx in (1, 0))
    del image, blurred
    tensor = np.zeros((*x.shape[:2], 3), np.float32)
    for element, (a, b) in enumerate(((x, x), (x, y), (y, y))):
        for colour in range(3):
            tensor[..., element] += a[..., colour] * b[..., colour]
    del x, y, a, b
    tensor /= 3
    squared = tensor[..., :1] + tensor[..., 2:]
    seen = np.maximum(squared - LEAST_GRADIENT**2, 0)
    tensor /= np.maximum(squared, 1e-9, out=squared)
    tensor *= seen
    tensor /= 1 + LEAST_VARIANCE_PX2 * seen
    return tensor


def _in_patches(certainty: Array, scale: float) -> Array:
    """Means (H, W, 3) over the patches that flow is measured with."""
    return np.asarray(cv2.GaussianBlur(certainty, (0, 0), PATCH_PX / 4 * scale), np.float32)


def _trace(certainty: Array) -> Array:
    """(H, W, 1), the sum over both axes."""
    return certainty[..., :1] + certainty[..., 2:]


def _clear_of(outlines: Array, scale: float) -> Array:
    """How far (H, W, 1) spots are on one area alone: at outlines, corners of one are taken for spots of the other."""
    side = 2 * max(1, round(SPOT_PX * scale)) + 1
    nearest = cv2.dilate(_trace(outlines)[..., 0], np.ones((side, side), np.uint8))
    return np.asarray(np.maximum(np.exp(-nearest / OUTLINE), OUTLINE_SHARE)[..., None], np.float32)


def _times(tensor: Array, vectors: Array) -> Array:
    """Products of symmetric matrices (..., 3), as xx, xy and yy, with vectors (..., 2)."""
    xx, xy, yy = np.moveaxis(tensor, -1, 0)
    x, y = np.moveaxis(vectors, -1, 0)
    return np.stack([xx * x + xy * y, xy * x + yy * y], -1)


def _solve(tensor: Array, vectors: Array, more: NDArray[np.floating]) -> Array:
    """(tensor + more)^-1 vectors."""
    xx, xy, yy = tensor[..., 0] + more, tensor[..., 1], tensor[..., 2] + more
    adjugate = np.stack([yy, -xy, xx], -1)
    return np.asarray(_times(adjugate, vectors) / (xx * yy - xy * xy)[..., None], np.float32)


def _edges(areas: Array) -> tuple[Array, Array]:
    """How much of an edge is between each place (h, w) of the grid and its left and its upper neighbour."""
    found = []
    for axis in (1, 0):
        levels = np.abs(np.diff(areas, axis=axis)).sum(-1)
        edge = np.maximum(levels - SHADE_LEVELS, 0) / EDGE_LEVELS
        found.append(np.insert(edge, 0, 0, axis=axis).astype(np.float32))
    return found[0], found[1]


Passes = list[tuple[int, Array]]


def _passes(edges: tuple[Array, Array], reach: float) -> Passes:
    """The passes over areas with a standard deviation of `reach` places: axis, and what is kept along it (h, w, 1)."""
    found: Passes = []
    for index in range(PASSES):
        sigma = reach * np.sqrt(3) * 2 ** (PASSES - 1 - index) / np.sqrt(4**PASSES - 1)
        for axis, edge in zip((1, 0), edges, strict=True):
            found.append((axis, np.exp(-np.sqrt(2) / sigma * (1 + reach * edge))[..., None].astype(np.float32)))
    return found


def _smooth(data: Array, passes: Passes) -> Array:
    """Weighted means of data (h, w, C) over areas that edges end."""
    along = RECURSIVE.fastest
    for axis, kept in passes:
        data = along(data.swapaxes(0, axis), kept.swapaxes(0, axis)).swapaxes(0, axis)
    return np.asarray(data, np.float32)


def recursive(data: Array, kept: Array) -> Array:
    """Along the first axis there and back: of the neighbour's value each place keeps its share `kept` (h, w, 1)."""
    data, kept = np.array(data, order="C"), np.ascontiguousarray(kept)
    for row in range(1, len(data)):
        data[row] += kept[row] * (data[row - 1] - data[row])
    for row in range(len(data) - 2, -1, -1):
        data[row] += kept[row + 1] * (data[row + 1] - data[row])
    return data


Along = Callable[[Array, Array], Array]


def _agree(first: Along, second: Along) -> bool:
    random = np.random.default_rng(0)
    data, kept = random.random((5, 6, 2), np.float32), random.random((5, 6, 1), np.float32)
    return np.array_equal(first(data, kept), second(data, kept))


RECURSIVE = CompiledPart[Along](recursive, "omnitrack.correspondence.compiled.areas", "recursive", _agree)
