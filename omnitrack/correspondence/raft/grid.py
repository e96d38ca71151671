"""The raster on which the network works: small frames are enlarged, and all are padded to whole cells."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.raft.network import STRIDE

_LEAST_SIDE = 128  # pixels; below it the coarsest correlations have fewer than two cells along a side

Flow = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Converts frames and flow between the size of a clip and that of the network.

    Attributes:
        frame_size: (width, height) of the frames in pixels.
        inner_size: (width, height) to which frames are enlarged.
        padded_size: (width, height) with borders; multiples of 8.
    """

    frame_size: tuple[int, int]
    inner_size: tuple[int, int]
    padded_size: tuple[int, int]

    @staticmethod
    def fit(frame_size: tuple[int, int], side: int) -> Grid:
        """Return the grid for frames of a size, enlarged to a shorter side of at least `side` pixels."""
        scale = max(1.0, side / min(frame_size))
        inner = (round(frame_size[0] * scale), round(frame_size[1] * scale))
        width, height = (max(_LEAST_SIDE, -(-length // STRIDE) * STRIDE) for length in inner)
        return Grid(frame_size, inner, (width, height))

    @property
    def cells(self) -> tuple[int, int]:
        """(height, width) in cells of the network."""
        return self.padded_size[1] // STRIDE, self.padded_size[0] // STRIDE

    def from_frame(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Convert a frame (H, W, 3) to the network's input: enlarged, with replicated borders."""
        if self.inner_size != self.frame_size:
            frame = np.asarray(cv2.resize(frame, self.inner_size, interpolation=cv2.INTER_CUBIC), np.uint8)
        (left, top), (width, height) = self._border, self.inner_size
        right, bottom = self.padded_size[0] - width - left, self.padded_size[1] - height - top
        return np.pad(frame, [(top, bottom), (left, right), (0, 0)], mode="edge")

    def to_frame(self, flow: Flow) -> Flow:
        """Convert flow (H, W, 2) on the network's raster to flow of the frame."""
        (left, top), (width, height) = self._border, self.inner_size
        inner = np.ascontiguousarray(flow[top : top + height, left : left + width])
        if self.inner_size == self.frame_size:
            return inner
        flow = np.asarray(cv2.resize(inner, self.frame_size, interpolation=cv2.INTER_LINEAR), np.float32)
        scale = np.divide(self.frame_size, self.inner_size, dtype=np.float32)
        return flow * scale

    def to_cells(self, flow: Flow | None) -> Flow:
        """Sample the frame's flow at the cells: (2, h, w) in cells; zeros for None."""
        height, width = self.cells
        if flow is None:
            return np.zeros((2, height, width), np.float32)
        scale = np.array(self.inner_size, np.float32) / np.array(self.frame_size, np.float32)
        x = (np.arange(width, dtype=np.float32) * STRIDE - self._border[0] + 0.5) / scale[0] - 0.5
        y = (np.arange(height, dtype=np.float32) * STRIDE - self._border[1] + 0.5) / scale[1] - 0.5
        maps = np.meshgrid(x, y)
        read = cv2.remap(flow, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.ascontiguousarray((np.asarray(read) * (scale / STRIDE)).transpose(2, 0, 1), np.float32)

    @property
    def _border(self) -> tuple[int, int]:
        """Width of the border at the left and at the top, in pixels."""
        return (self.padded_size[0] - self.inner_size[0]) // 2, (self.padded_size[1] - self.inner_size[1]) // 2
