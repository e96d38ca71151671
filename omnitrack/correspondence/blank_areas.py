"""Flow in areas without texture: it follows the motion of the surroundings.

Measured flow is as certain as the texture is strong: its variance is at least the inverse of the structure tensor,
times the variance of the noise (the bound of Cramer and Rao). So flow at an edge is certain across the edge and not
along it, and on a blank wall it is not certain at all: it follows noise, compression and changes of light. Here each
pixel takes the motion of the texture around it, to the extent that its own flow is uncertain:

    u = v + (O + k)^-1 O (f - v),    v: mean of f in the surroundings, weighted by certainty

f is the measured flow, O its certainty in the patch around the pixel, k the certainty of the surroundings: the inverse
variance of their flow, so that they count little where they disagree. Means are taken over wide areas first, then over
smaller ones as far as these contain enough texture. They end at edges, because an object and its background move apart.
Spots that a median removes are an area's own texture. An outline belongs to the area itself or to an object in front of
it: it counts next to nothing, which is enough where there is no other texture. So a wall moves with its marks, whatever
passes in front of it, and the inside of a blank object moves with its outline.

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
SPOT_PX = 8.0  # smaller spots are texture of the surface that they are on
MOST_MEDIAN = 127  # largest radius of OpenCV's median, in pixels of the frame
BLUR_PX = 0.8  # blur before gradients are computed
LEAST_GRADIENT = 0.8  # levels per px: rounding, compression and noise reach this
LEAST_VARIANCE_PX2 = 0.25  # of a pixel's flow, however strong its gradient: models have errors, too
PATCH_PX = 8.0  # side of the patch that flow is estimated from
OUTLINE_SHARE = 1e-3  # share of an outline's certainty that counts for the areas on either side of it
OUTLINE = 0.25  # certainty from which an edge counts as an outline, in 1 / px^2
LEAST_SPREAD_PX2 = 0.03  # least variance of flow about the mean of its surroundings, where these agree
MOST_VARIANCE_PX2 = 25.0  # largest such variance; larger ones count as this
ENOUGH = 300.0  # certainty, in 1 / px^2, from which the variance within an area outweighs that within the wider one
REACHES_PX = (128.0, 32.0, 8.0)
SPACING_PX = 2.0  # spacing of the grid on which means are taken; never finer than the frame
EDGE_LEVELS = 20.0  # step in colour, summed over the channels, that counts as much as the reach of an area ...
SHADE_LEVELS = 6.0  # ... beyond the change by shading from one place of the grid to the next
ODD_PX = 2.0  # distance from the mean at which flow has a quarter of its weight
PASSES = 2  # passes of the filter along both axes


class BlankAreas:
    """The blank and textured areas of one frame.

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
        """Return the flow (H, W, 2) of the frame, replaced by that of the surroundings where the frame is blank."""
        found = self._surroundings(flow)
        around = np.asarray(cv2.resize(found, flow.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        held = _times(self._own, flow - around[..., :2])
        return np.asarray(around[..., :2] + _solve(self._own, held, around[..., 2]), np.float32)

    def _surroundings(self, flow: Array) -> Array:
        """Mean flow of the surroundings and its certainty, on the coarse grid: (h, w, 3)."""
        data = np.concatenate([self._averaged(self._texture), self._averaged(_times(self._texture, flow))], -1)
        coarse, mass = self._averaged(flow), data[..., 0] + data[..., 2]
        mean, known = np.zeros_like(coarse), 1e-6 * np.ones_like(mass)
        share, variance = np.ones_like(mass), np.full_like(mass, MOST_VARIANCE_PX2)
        for reach in (REACHES_PX[0], *REACHES_PX):  # the widest once more, without outliers
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
    """Certainty (H, W, 3) of a frame's spots, and a very small one beside the outlines of its areas."""
    outlines = _certainty(areas.astype(np.float32), scale)
    texture = _certainty(frame.astype(np.float32) - areas, scale)
    texture *= _clear_of(outlines, scale)
    beside = _in_patches(outlines, scale)
    beside *= np.exp(-_trace(outlines) / OUTLINE)  # not on the outlines: there both sides mix
    beside *= OUTLINE_SHARE
    texture += beside
    return texture


def _certainty(image: Array, scale: float) -> Array:
    """Inverse covariance (H, W, 3) of the flow from each pixel alone: its elements xx, xy and yy, in 1 / px^2.

    It is computed in place and channel by channel: frames may be 4K, and a flow thread has 330 bytes per pixel.
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
    """Means (H, W, 3) over the patches that flow is estimated from."""
    return np.asarray(cv2.GaussianBlur(certainty, (0, 0), PATCH_PX / 4 * scale), np.float32)


def _trace(certainty: Array) -> Array:
    """Trace (H, W, 1): the sum over both axes."""
    return certainty[..., :1] + certainty[..., 2:]


def _clear_of(outlines: Array, scale: float) -> Array:
    """Weight (H, W, 1) of spots, small near outlines: there, corners of one area pass for spots of the other."""
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
    """Strength of the edge between each place (h, w) of the grid and its left and its upper neighbour."""
    found = []
    for axis in (1, 0):
        levels = np.abs(np.diff(areas, axis=axis)).sum(-1)
        edge = np.maximum(levels - SHADE_LEVELS, 0) / EDGE_LEVELS
        found.append(np.insert(edge, 0, 0, axis=axis).astype(np.float32))
    return found[0], found[1]


Passes = list[tuple[int, Array]]


def _passes(edges: tuple[Array, Array], reach: float) -> Passes:
    """Filter passes for areas with a standard deviation of `reach` places: axis and `kept` (h, w, 1) of `recursive`."""
    found: Passes = []
    for index in range(PASSES):
        sigma = reach * np.sqrt(3) * 2 ** (PASSES - 1 - index) / np.sqrt(4**PASSES - 1)
        for axis, edge in zip((1, 0), edges, strict=True):
            found.append((axis, np.exp(-np.sqrt(2) / sigma * (1 + reach * edge))[..., None].astype(np.float32)))
    return found


def _smooth(data: Array, passes: Passes) -> Array:
    """Weighted means of data (h, w, C) over areas that end at edges."""
    along = RECURSIVE.fastest
    for axis, kept in passes:
        data = along(data.swapaxes(0, axis), kept.swapaxes(0, axis)).swapaxes(0, axis)
    return np.asarray(data, np.float32)


def recursive(data: Array, kept: Array) -> Array:
    """Filter along the first axis in both directions: a place mixes in the share `kept` (h, w, 1) of its neighbour."""
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
