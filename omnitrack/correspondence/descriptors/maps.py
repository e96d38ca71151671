"""Descriptors of every pixel of a clip's frames, reduced to the principal axes of the clip.

Descriptors may be joined with learned features of the frames (`feature_maps.py`): the cosine of two joined descriptors
is a weighted mean of both cosines.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.byte_cache import ByteCache
from omnitrack.correspondence.descriptors.comparing import in_steps
from omnitrack.correspondence.descriptors.feature_maps import FeatureMaps
from omnitrack.correspondence.descriptors.principal_axes import learned_frames, principal_axes
from omnitrack.correspondence.features.network_input import network_input, network_size

CHANNELS = 32  # kept: nine tenths of the squared length of ALIKE-n's 128 channels, nearly all of a patch's 75
LEARNED_STRIDE = 8  # pixels between the samples from which the axes are learned
FEATURES_SHARE = 0.5  # weight of features in the cosine of joined descriptors
MOST_ENLARGED = 2  # largest factor by which frames are enlarged: more adds no detail


class Describer(Protocol):
    """Computes a descriptor of every pixel of an image.

    Attributes:
        multiple: Sides of the image must be multiples of this.
    """

    multiple: int

    def __call__(self, image: Tensor, axes: Tensor | None = None, stride: int = 1) -> Tensor:
        """Describe an image (1, 3, H, W) in [0, 1]: (1, C or k, H / stride, W / stride), of length at most 1.

        Args:
            image: RGB.
            axes: (C, k) orthonormal axes on which the C channels are projected; None keeps all channels.
            stride: Distance between described pixels.
        """


class ClipDescriptors:
    """Descriptor maps of a clip's frames, computed on demand and cached.

    The channels are the principal axes of the descriptors of a few frames, evenly spread over the clip: projecting on
    them nearly preserves cosines, and reduces the time to a fraction.

    Args:
        describe: Describes an image on `device`.
        frame: Returns frame t as (H, W, 3) uint8 RGB.
        num_frames: T.
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
        num_frames: int,
        size: tuple[int, int],
        side: int,
        cache_bytes: float,
        device: str | torch.device = "cpu",
        features: FeatureMaps | None = None,
    ) -> None:
        self._describe, self._frame, self._num_frames, self._device = describe, frame, num_frames, device
        self._features = features
        self.map_size = network_size(size, min(side, MOST_ENLARGED * min(size)), describe.multiple)
        self._axes: Tensor | None = None
        self._working = threading.Lock()
        self._maps: ByteCache[int, Tensor] = ByteCache(cache_bytes, lambda values: values.nbytes)

    def of(self, frame: int) -> Tensor:
        """Return the (h * w, C) int8 descriptors of a frame, row by row, in steps (`comparing.in_steps`)."""
        with self._working:  # otherwise two threads could describe the same frame
            if self._axes is None:
                self._axes = self._principal_axes()
            return self._maps.through(frame, lambda: self._described(frame, self._axes))

    @torch.inference_mode()
    def _described(self, frame: int, axes: Tensor | None) -> Tensor:
        found = self._describe(self._image(frame), axes)[0]
        if self._features is not None:
            features = self._features.of(frame, (found.shape[1], found.shape[2]))
            found = torch.cat([(1 - FEATURES_SHARE) ** 0.5 * found, FEATURES_SHARE**0.5 * features])
        return in_steps(found.flatten(1).T)

    @torch.inference_mode()
    def _principal_axes(self) -> Tensor:
        seen = (
            self._describe(self._image(frame), stride=LEARNED_STRIDE)[0].flatten(1).T
            for frame in learned_frames(self._num_frames)
        )
        return principal_axes(seen, CHANNELS).to(self._device)

    def _image(self, frame: int) -> Tensor:
        return torch.from_numpy(network_input([self._frame(frame)], self.map_size)).to(self._device)
