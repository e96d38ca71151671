"""One optimisable depth map per frame: its visible surface."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class DepthMaps(nn.Module):
    """Depth of the visible surface in every frame, at a lower resolution than the frames.

    Args:
        initial: (T, h, w) initial depths; smaller is nearer.
        size: (width, height) of the frames in pixels.

    Convention:
        Pixels are (x, y), centres at integers; a texel covers the same share of the map as its pixels do of the frame.

    Example:
        >>> maps = DepthMaps(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), size=(8, 4))
        >>> maps(torch.tensor([[0.0, 0.0], [7.0, 3.0]]), torch.tensor([0, 0])).tolist()
        [1.0, 4.0]
    """

    initial: Tensor

    def __init__(self, initial: Tensor, size: tuple[int, int]) -> None:
        super().__init__()
        self.maps = nn.Parameter(initial.clone())
        self.register_buffer("initial", initial.clone())
        self.size = size

    def forward(self, pixels: Tensor, frames: Tensor) -> Tensor:
        """Depth (P,) at pixels (P, 2) of frames (P,), read from the nearest texel, so that surfaces do not mix."""
        return self.maps.flatten()[self.texel(pixels, frames)]

    def texel(self, pixels: Tensor, frames: Tensor) -> Tensor:
        """Flat index (P,) of the texel that contains each pixel; outside the frame, of the nearest texel."""
        return texel(pixels, frames, self.maps.shape, self.size)

    def left_and_above(self, texels: Tensor) -> Tensor:
        """Indices (2, P) of the texels to the left of and above the given ones; at the border, the texel itself."""
        _, height, width = self.maps.shape
        left = torch.where(texels % width > 0, texels - 1, texels)
        above = torch.where(texels // width % height > 0, texels - width, texels)
        return torch.stack([left, above])

    def full(self, frame: int) -> Tensor:
        """Depth of one frame at its full size, (H, W)."""
        depth = F.interpolate(self.maps[frame][None, None], size=self.size[::-1], mode="nearest")
        return depth[0, 0]


def texel(pixels: Tensor, frames: Tensor, shape: torch.Size, size: tuple[int, int]) -> Tensor:
    """Flat index (P,), in maps of a shape (T, h, w), of the texel that contains each pixel (P, 2) of frames (P,).

    Frames have `size` (width, height) in pixels; pixels outside them get the nearest texel.
    """
    _, height, width = shape
    x = ((pixels[:, 0] + 0.5) * (width / size[0])).long().clamp(0, width - 1)
    y = ((pixels[:, 1] + 0.5) * (height / size[1])).long().clamp(0, height - 1)
    return (frames * height + y) * width + x
