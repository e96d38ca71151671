"""The principal axes of a clip's descriptors, learned from a few of its frames."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

LEARNED_FRAMES = 8


def learned_frames(num_frames: int) -> list[int]:
    """Return the frames to learn from, evenly spread over a clip: `LEARNED_FRAMES` at most."""
    frames = np.linspace(0, num_frames - 1, LEARNED_FRAMES).round().astype(int)
    return [int(frame) for frame in np.unique(frames)] if num_frames > 0 else []


def principal_axes(seen: Iterable[Tensor], channels: int) -> Tensor:
    """Return (C, k) orthonormal float32 axes of descriptors, by decreasing second moment.

    Args:
        seen: (N, C) descriptors of each frame.
        channels: Number of axes to keep; k is the smaller of this and C.
    """
    moments = torch.zeros((), dtype=torch.float64)
    for values in seen:
        values = values.double().cpu()
        moments = moments + values.T @ values
    axes = torch.linalg.eigh(moments).eigenvectors.flip(1)
    return axes[:, :channels].float()
