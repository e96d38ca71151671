"""Descriptors of every pixel of a clip's frames, along the axes that distinguish the places of the clip best.

Descriptors may be joined with learned features of the frames (`feature_maps.py`): the cosine of two joined descriptors
is a weighted mean of both cosines. Features are coarse and hardly differ between neighbouring pixels, so what a better
position gains is the share of the patches.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.byte_cache import ByteCache
from omnitrack.correspondence.descriptors.comparing import Cells, in_steps
from omnitrack.correspondence.descriptors.discriminant_axes import discriminant_axes
from omnitrack.correspondence.descriptors.feature_maps import FeatureMaps
from omnitrack.correspondence.descriptors.two_views import TwoViews
from omnitrack.correspondence.features.network_input import network_input, network_size
from omnitrack.correspondence.raster import Array

CHANNELS = 32  # kept, of a patch's 147 or ALIKE-n's 128
FEATURES_SHARE = 0.5  # weight of features in the cosine of joined descriptors
MOST_ENLARGED = 2  # largest factor by which frames are enlarged: more adds no detail


class Describer(Protocol):
    """Computes a descriptor of every pixel of an image.

    Attributes:
        multiple: Sides of the image must be multiples of this.
    """

    multiple: int

    def __call__(self, image: Tensor, axes: Tensor) -> Tensor:
        """Describe an image (1, 3, H, W), RGB in [0, 1], along axes (C, k): (k, H, W), of length at most 1.

        Args:
            image: RGB.
            axes: Scaled so that the descriptor of a place varies by 1 along each from frame to frame.
        """

    def at(self, image: Tensor, cells: Tensor) -> Tensor:
        """Describe some pixels (N, 2), x and y, of an image (1, 3, H, W): (N, C) in all channels."""


class ClipDescriptors:
    """Descriptor maps of a clip's frames, computed on demand and cached.

    The channels are the discriminant axes of descriptors of the same places in two frames: they distinguish places
    better than all channels do, and take a fraction of the time.

    Args:
        describe: Describes an image on `device`.
        frame: Returns frame t as (H, W, 3) uint8 RGB.
        views: Returns places that are seen in two frames, to learn the axes from; called once.
        size: (width, height) of the frames.
        side: Approximate shorter side of the frames when they are described; small frames are enlarged at most
            `MOST_ENLARGED` times.
        cache_bytes: Memory for cached maps.
        device: Device to compute on.
        features: Features of the frames to join to their descriptors; None: no features.

    Attributes:
        map_size: (width, height) of a map, which covers the frame.
    """

    def __init__(
        self,
        describe: Describer,
        frame: Callable[[int], NDArray[np.uint8]],
        views: Callable[[], Sequence[TwoViews]],
        size: tuple[int, int],
        side: int,
        cache_bytes: float,
        device: str | torch.device = "cpu",
        features: FeatureMaps | None = None,
    ) -> None:
        self._describe, self._frame, self._views, self._device = describe, frame, views, device
        self._size, self._features = size, features
        self.map_size = network_size(size, min(side, MOST_ENLARGED * min(size)), describe.multiple)
        self._working = threading.Lock()
        self._maps: ByteCache[int, Tensor] = ByteCache(cache_bytes, lambda values: values.nbytes)

    def of(self, frame: int) -> Tensor:
        """Return the (h * w, C) int8 descriptors of a frame, row by row, in steps (`comparing.in_steps`)."""
        with self._working:  # otherwise two threads could describe the same frame
            return self._maps.through(frame, lambda: self._described(frame))

    @torch.inference_mode()
    def _described(self, frame: int) -> Tensor:
        found = self._describe(self._image(frame), self._axes)
        if self._features is not None:
            features = self._features.of(frame, (found.shape[1], found.shape[2]))
            found = torch.cat([(1 - FEATURES_SHARE) ** 0.5 * found, FEATURES_SHARE**0.5 * features])
        return in_steps(found.flatten(1).T)

    @cached_property
    def _axes(self) -> Tensor:
        described = (
            (self._at(view.frame, view.places), view.seen, self._at(view.frame + 1, view.landed))
            for view in self._views()
        )
        return discriminant_axes(described, CHANNELS).to(self._device)

    def _at(self, frame: int, pixels: Array) -> Tensor:
        """Describe pixels (N, 2) of a frame: (N, C)."""
        cells = Cells(self._size, self.map_size, self._device)
        nearest = cells.nearest(torch.from_numpy(pixels.T).to(self._device))
        return self._describe.at(self._image(frame), nearest.long().T)

    def _image(self, frame: int) -> Tensor:
        return torch.from_numpy(network_input([self._frame(frame)], self.map_size)).to(self._device)
