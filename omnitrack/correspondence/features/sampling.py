"""Features at pixels, interpolated between the cells of a map, which is never enlarged to the size of its frame."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.features.contract import unit_length

Array = NDArray[np.float32]


def cell_positions(pixels: Array, grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float64]:
    """Convert pixels to positions in a map of features.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        pixels: (P, 2) positions (x, y), centres at integers.
        grid: (h, w) cells of the map.
        size: (width, height) of the frame in pixels.

    Returns:
        (P, 2) positions (column, row), centres of cells at integers.
    """
    cells = np.array([grid[1], grid[0]], np.float64)
    return np.asarray((pixels + 0.5) * (cells / size) - 0.5, np.float64)


def sample_features(features: Array, pixels: Array, size: tuple[int, int]) -> Array:
    """Sample features at pixels: bilinear between the four nearest cells, with unit length restored.

    Convention:
        Pixels are (x, y) of the working frames, x right, y down, centres at integers.

    Args:
        features: (h, w, C) map of a frame, see `omnitrack.correspondence.features.contract`.
        pixels: (P, 2) positions; beyond the outermost cell centres, the border's value is used.
        size: (width, height) of the frame in pixels.

    Returns:
        (P, C) float32 of unit length.
    """
    import torch

    height, width, channels = features.shape
    last = np.array([width - 1, height - 1])
    position = cell_positions(pixels, (height, width), size).clip(0, last)
    first = np.minimum(np.floor(position).astype(np.int64), np.maximum(last - 1, 0))
    x, y = (position - first).astype(np.float32).T
    right, below = first[:, 0] + (width > 1), first[:, 1] + (height > 1)  # a single row or column is its own neighbour
    rows = np.stack([first[:, 1], below], -1) * width
    corners = np.stack([rows + first[:, :1], rows + right[:, None]], -1).reshape(-1, 4)
    shares = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], -1)
    # Weighted sums of four rows: 5 to 15 times as fast as indexing four times, and exact, unlike cv2.remap.
    mixed = torch.nn.functional.embedding_bag(
        torch.from_numpy(corners),
        torch.from_numpy(np.ascontiguousarray(features, np.float32).reshape(-1, channels)),
        per_sample_weights=torch.from_numpy(shares),
        mode="sum",
    )
    return unit_length(mixed.numpy())


class FrameFeatures:
    """Features of a clip's frames, to compare the appearance of two positions.

    Args:
        features: Returns the map (h, w, C) of frame t.
        size: (width, height) of the frames in pixels.
    """

    def __init__(self, features: Callable[[int], Array], size: tuple[int, int]) -> None:
        self._features = features
        self._size = size

    def at(self, frame: int, pixels: Array) -> Array:
        """Return features (P, C) at pixels (P, 2) of a frame."""
        return sample_features(self._features(frame), pixels, self._size)

    def similarity(self, features: Array, frame: int, pixels: Array) -> Array:
        """Return the cosine similarity (P,) of features (P, C) with those at `pixels` (P, 2) of a frame."""
        return cosine(features, self.at(frame, pixels))


def cosine(a: Array, b: Array) -> Array:
    """Return the cosine similarity (P,), in [-1, 1], of unit vectors (P, C)."""
    return np.asarray(np.einsum("pc,pc->p", a, b).clip(-1, 1), np.float32)
