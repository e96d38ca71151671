"""Learned features of a clip's frames, as descriptors of every pixel.

The tokens of a transformer tell things from one another, and see coarsely; patches of colours see every pixel, and take
one thing for another that resembles it. Joined (`maps.py`), the search among them is drawn to the right thing by the
tokens, and to the right pixel of it by the patch.

What all features of a clip have in common says nothing, and is most of a token: it is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from omnitrack.correspondence.descriptors.principal_axes import learned_frames, principal_axes
from omnitrack.correspondence.raster import Array

CHANNELS = 24  # that are kept


class FeatureMaps:
    """Features between the cells of their maps, less what the clip has in common, and cut to its principal axes.

    Asked by one thread at a time.

    Args:
        features: Gives those of frame t, (h, w, C) of unit length or 0.
        num_frames: T.
        device: Device to compute on.
    """

    def __init__(self, features: Callable[[int], Array], num_frames: int, device: str | torch.device = "cpu") -> None:
        self._features, self._num_frames, self._device = features, num_frames, device

    def of(self, frame: int, size: tuple[int, int]) -> Tensor:
        """(k, H, W) of a frame, enlarged to `size` (H, W): of unit length, or 0 where there are none."""
        values = torch.from_numpy(self._features(frame)).to(self._device)
        mean, axes = self._common
        cut = (_less(values.flatten(0, 1), mean) @ axes).T.view(1, -1, *values.shape[:2])
        enlarged = functional.interpolate(cut, size=size, mode="bilinear", align_corners=False)[0]
        return functional.normalize(enlarged, dim=0, eps=1e-6)

    @cached_property
    def _common(self) -> tuple[Tensor, Tensor]:
        """What the clip has in common (C,), and the axes (C, k) of what is left."""
        seen = [torch.from_numpy(self._features(t)).flatten(0, 1) for t in learned_frames(self._num_frames)]
        mean = torch.cat(seen).double().mean(0).float()
        axes = principal_axes((_less(values, mean) for values in seen), CHANNELS)
        return mean.to(self._device), axes.to(self._device)


def _less(features: Tensor, mean: Tensor) -> Tensor:
    """Features (N, C) without a mean (C,), of unit length again; none stays none."""
    there = features.any(1, keepdim=True)
    return functional.normalize(features - mean, dim=1, eps=1e-6) * there
