"""Stacked layers seen by a moving camera: exact frames, flow, tracks and occlusion in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.synthetic.maps import Chain, Map, Points, Similarity
from omnitrack.synthetic.shapes import Shape
from omnitrack.synthetic.texture import Texture

SUPERSAMPLING = 3  # samples per pixel and axis
DRAWN = (256, 192)  # the size that scenes are laid out for; other sizes are scaled by their width
Motion = Callable[[int], Map]


def still(t: int) -> Map:
    """The motion of a static layer: the identity in every frame."""
    return Similarity()


@dataclass(frozen=True)
class Layer:
    """A flat object: its outline and texture in its own coordinates, and its map to frame t."""

    name: str
    shape: Shape
    texture: Texture
    motion: Motion = still


class SyntheticScene:
    """A clip with exact ground truth.

    Convention:
        Pixels are (x, y), centres at integers; the frame covers [-0.5, width - 0.5) x [-0.5, height - 0.5).

    Args:
        size: (width, height) in pixels.
        num_frames: T.
        layers: Nearest first; the last one must cover everything.
        camera: Returns the map of frame t that is applied to all layers after their own motion.
    """

    def __init__(self, size: tuple[int, int], num_frames: int, layers: Sequence[Layer], camera: Motion = still) -> None:
        self.size = size
        self.num_frames = num_frames
        self.layers = tuple(layers)
        self._maps = [[Chain((layer.motion(t), camera(t))) for layer in self.layers] for t in range(num_frames)]

    def frame(self, t: int) -> NDArray[np.uint8]:
        """Frame t as (H, W, 3) uint8 RGB, each pixel the mean of 3 x 3 samples."""
        import cv2

        width, height = self.size
        n = SUPERSAMPLING
        image = np.zeros((height * n, width * n, 3), np.float32)
        for layer, placed in zip(reversed(self.layers), reversed(self._maps[t]), strict=True):
            left, top, right, bottom = self._bounds(layer, placed)
            if left >= right or top >= bottom:
                continue
            points = placed.inverse(_pixel_grid(left, top, right, bottom, n))
            window = image[top * n : bottom * n, left * n : right * n]
            inside = layer.shape.contains(points)
            window[inside] = layer.texture.sample(points)[inside]
        return np.rint(cv2.resize(image, self.size, interpolation=cv2.INTER_AREA)).astype(np.uint8)

    def frames(self) -> NDArray[np.uint8]:
        """All frames, (T, H, W, 3) uint8 RGB."""
        return np.stack([self.frame(t) for t in range(self.num_frames)])

    def flow(self, source: int, target: int) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the motion of each pixel from `source` to `target`.

        Returns:
            (H, W, 2) displacement in pixels, and (H, W) whether the pixel's point is visible in `target`.
        """
        pixels = _pixel_grid(0, 0, *self.size)
        there = self._carry(pixels, self.top_layer(source, pixels), source, target)
        return (there[0] - pixels).astype(np.float32), there[1]

    def tracks(self, queries: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return the positions in every frame of the points seen at `queries` (N, 3) = (t, x, y).

        Returns:
            (N, T, 2) pixels, and (N, T) visible: inside the frame and not covered by a nearer layer.
        """
        queries = np.asarray(queries, np.float64)
        tracks = np.empty((len(queries), self.num_frames, 2), np.float32)
        visible = np.empty(tracks.shape[:2], bool)
        sources = queries[:, 0].astype(int)
        for source in np.unique(sources):
            rows = sources == source
            pixels = queries[rows, 1:]
            owner = self.top_layer(int(source), pixels)
            for t in range(self.num_frames):
                tracks[rows, t], visible[rows, t] = self._carry(pixels, owner, int(source), t)
        return tracks, visible

    def depth_order(self, t: int) -> NDArray[np.int64]:
        """(H, W) index of the layer at each pixel centre: 0 is the nearest layer of the scene."""
        return self.top_layer(t, _pixel_grid(0, 0, *self.size))

    def top_layer(self, t: int, pixels: Points) -> NDArray[np.int64]:
        """(...) index of the nearest layer at pixels (..., 2) of frame t."""
        owner = np.full(pixels.shape[:-1], len(self.layers) - 1, np.int64)
        for index in reversed(range(len(self.layers) - 1)):
            owner[self.layers[index].shape.contains(self._maps[t][index].inverse(pixels))] = index
        return owner

    def _carry(
        self, pixels: Points, owner: NDArray[np.int64], source: int, target: int
    ) -> tuple[Points, NDArray[np.bool_]]:
        carried = np.array(pixels, np.float64)
        for index in np.unique(owner):
            rows = owner == index
            carried[rows] = self._maps[target][index].forward(self._maps[source][index].inverse(pixels[rows]))
        within = np.all((carried >= -0.5) & (carried < np.array(self.size) - 0.5), axis=-1)
        if source == target:
            return np.array(pixels, np.float64), within
        return carried, within & (self.top_layer(target, carried) == owner)

    def _bounds(self, layer: Layer, placed: Map) -> tuple[int, int, int, int]:
        """Pixel box of a layer: its mapped outline lies inside the mapped edge of the disc around it."""
        width, height = self.size
        if not np.isfinite(layer.shape.radius):
            return 0, 0, width, height
        angles = np.linspace(0, 2 * np.pi, 64)
        edge = placed.forward(layer.shape.radius * np.stack([np.cos(angles), np.sin(angles)], -1))
        left, top = np.clip(np.floor(edge.min(0)) - 1, 0, None).astype(int)
        right, bottom = np.clip(np.ceil(edge.max(0)) + 2, None, self.size).astype(int)
        return int(left), int(top), int(right), int(bottom)


def _pixel_grid(left: int, top: int, right: int, bottom: int, samples: int = 1) -> Points:
    """Sample positions (h, w, 2) of the pixels of a box, `samples` per pixel and axis, centred in equal cells."""
    x = (np.arange(left * samples, right * samples) + 0.5) / samples - 0.5
    y = (np.arange(top * samples, bottom * samples) + 0.5) / samples - 0.5
    return np.stack(np.meshgrid(x, y), -1)
