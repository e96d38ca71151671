"""Learned features of a clip's frames, as descriptors of every pixel.

The tokens of a transformer distinguish objects, but are coarse; colour patches resolve every pixel, but confuse objects
of similar appearance. When both are joined (`maps.py`), the tokens draw the search to the right object, and the patch
draws it to the right pixel of the object.

The mean of a clip's features distinguishes nothing, and is most of a token: it is subtracted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from omnitrack.correspondence.descriptors.principal_axes import learned_frames, principal_axes
from omnitrack.correspondence.raster import Array

CHANNELS = 24  # kept


class FeatureMaps:
    """Features interpolated between the cells of their maps, less the clip's mean, on the clip's principal axes.

    To be used by one thread at a time.

    Args:
        features: Returns the features of frame t, (h, w, C) of unit length or 0.
        num_frames: T.
        device: Device to compute on.
    """

    def __init__(self, features: Callable[[int], Array], num_frames: int, device: str | torch.device = "cpu") -> None:
        self._features, self._num_frames, self._device = features, num_frames, device

    def of(self, frame: int, size: tuple[int, int]) -> Tensor:
        """Return the features (k, H, W) of a frame, enlarged to `size` (H, W): of unit length, or 0 if missing."""
        values = torch.from_numpy(self._features(frame)).to(self._device)
        mean, axes = self._common
        cut = (_less(values.flatten(0, 1), mean) @ axes).T.view(1, -1, *values.shape[:2])
        enlarged = functional.interpolate(cut, size=size, mode="bilinear", align_corners=False)[0]
        return functional.normalize(enlarged, dim=0, eps=1e-6)

    @cached_property
    def _common(self) -> tuple[Tensor, Tensor]:
        """The mean (C,) of the clip's features, and the principal axes (C, k) of the rest."""
        seen = [torch.from_numpy(self._features(t)).flatten(0, 1) for t in learned_frames(self._num_frames)]
        mean = torch.cat(seen).double().mean(0).float()
        axes = principal_axes((_less(values, mean) for values in seen), CHANNELS)
        return mean.to(self._device), axes.to(self._device)


def _less(features: Tensor, mean: Tensor) -> Tensor:
    """Subtract a mean (C,) from features (N, C), and restore unit length; features of 0 stay 0."""
    there = features.any(1, keepdim=True)
    return functional.normalize(features - mean, dim=1, eps=1e-6) * there
