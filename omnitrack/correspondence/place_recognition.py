"""Which frames show the same place: descriptors of whole frames, and their mutual nearest neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raster import Array

CELLS = 4  # per side, of the gradient histograms
ORIENTATIONS = 8
TINY_SIDE = 12  # of the tiny image
NEIGHBOURS = 4  # of each frame that can become its partners
LEAST_PLACES = 8  # frames nearer than this in the list are not candidates: they follow one another anyway
LEAST_SIMILARITY = 0.2  # of partners, after subtracting the clip's mean: unrelated frames are at 0 on average
BLOCK_ROWS = 256  # of the similarity table computed at once: bounds the memory

Image = NDArray[np.uint8]


def global_descriptor(image: Image) -> Array:
    """Descriptor (D,) of what a small image (h, w, 3) uint8 shows, without learned weights.

    Two halves of equal weight: square roots of histograms of gradient orientations in 4 x 4 cells, which tolerate a
    small shift and a change of light, and a tiny image less its mean, which distinguishes places of similar texture.

    Source:
        Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005; Torralba et al., 80 Million
        Tiny Images, PAMI 2008.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    length, angle = np.hypot(dx, dy), np.arctan2(dy, dx)
    place = (angle / (2 * np.pi) % 1) * ORIENTATIONS
    lower = np.floor(place).astype(int) % ORIENTATIONS
    upper_share = (place - np.floor(place)).astype(np.float32)
    votes = np.zeros((ORIENTATIONS, *grey.shape), np.float32)
    rows, columns = np.indices(grey.shape)
    votes[lower, rows, columns] = length * (1 - upper_share)
    votes[(lower + 1) % ORIENTATIONS, rows, columns] += length * upper_share
    cells = [cv2.resize(vote, (CELLS, CELLS), interpolation=cv2.INTER_AREA) for vote in votes]
    histograms = np.sqrt(_unit(np.stack(cells).ravel(), order=1))
    tiny = cv2.resize(image.astype(np.float32), (TINY_SIDE, TINY_SIDE), interpolation=cv2.INTER_AREA)
    tiny = tiny - tiny.mean((0, 1))
    return np.concatenate([histograms, _unit(tiny.ravel())])


def pooled(features: Array) -> Array:
    """Descriptor (C,) of a frame: the mean of its features (h, w, C) of unit length, as a unit vector."""
    return _unit(features.reshape(-1, features.shape[-1]).mean(0))


def alike_frames(descriptors: Array) -> list[tuple[int, int]]:
    """Pairs (a, b), a < b, of rows that are among the nearest neighbours of each other.

    Descriptors are compared by their cosine after subtracting the mean of all, which is what all frames of a clip have
    in common. Rows nearer than `LEAST_PLACES` in the list do not count. At most 2 n pairs for n rows.

    Args:
        descriptors: (n, D).
    """
    centred = descriptors - descriptors.mean(0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-9)
    neighbours = [set(found.tolist()) for found in _nearest(unit)]
    return [(a, b) for a, of_a in enumerate(neighbours) for b in sorted(of_a) if a < b and a in neighbours[b]]


def _nearest(unit: Array) -> Iterator[NDArray[np.int64]]:
    """For each row, the rows most similar to it, at most `NEIGHBOURS`."""
    rows = np.arange(len(unit))
    for first in range(0, len(unit), BLOCK_ROWS):
        block = rows[first : first + BLOCK_ROWS]
        similarity = unit[block] @ unit.T
        similarity[np.abs(block[:, None] - rows) < LEAST_PLACES] = -np.inf
        best = np.argsort(-similarity, axis=1, kind="stable")[:, :NEIGHBOURS]
        for row, order in zip(similarity, best, strict=True):
            yield order[row[order] >= LEAST_SIMILARITY]


def _unit(values: Array, order: int = 2) -> Array:
    norm = float(np.linalg.norm(values, ord=order))
    return np.asarray(values / max(norm, 1e-9), np.float32)
