"""The channels in which the descriptors of a clip differ, learned from a few of its frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

LEARNED_FRAMES = 8


def learned_frames(num_frames: int) -> list[int]:
    """Frames to learn from, evenly over a clip of so many: `LEARNED_FRAMES` at most."""
    frames = np.linspace(0, num_frames - 1, LEARNED_FRAMES).round().astype(int)
    return [int(frame) for frame in np.unique(frames)]


def principal_axes(seen: Iterable[Tensor], channels: int) -> Tensor:
    """(C, k) orthonormal float32 axes of descriptors, those of the largest second moments first.

    Args:
        seen: (N, C) descriptors of each frame.
        channels: Axes to keep; k is this or C, whichever is less.
    """
    moments = torch.zeros((), dtype=torch.float64)
    for values in seen:
        values = values.double().cpu()
        moments = moments + values.T @ values
    axes = torch.linalg.eigh(moments).eigenvectors.flip(1)
    return axes[:, :channels].float()
