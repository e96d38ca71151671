"""Colour patches as descriptors, which need no learned weights.

A descriptor is a patch of the image, less its mean colour, divided by its length: the cosine of two descriptors is the
similarity of their patches. A patch fainter than the noise has a shorter descriptor, which matches nothing.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 7  # samples per side of a patch
SPACING = 2  # pixels between samples
BLUR_PX = 1.0  # standard deviation of the blur before sampling
NOISE = 3 / 255  # standard deviation of the noise of a sample
_BLUR_REACH = 3


class PatchDescriber:
    """Describes images by colour patches; a `Describer`.

    Args:
        device: Device of the images.
    """

    multiple = 1

    def __init__(self, device: str | torch.device = "cpu") -> None:
        samples = SIDE * SIDE
        one = torch.eye(samples, device=device) - 1 / samples  # each sample minus the mean of all samples
        filters = torch.zeros(samples, 3, 3, samples, device=device)
        for colour in range(3):
            filters[:, colour, colour] = one
        self._filters = filters.view(samples * 3, 3, SIDE, SIDE)
        reach = torch.arange(-_BLUR_REACH, _BLUR_REACH + 1.0, device=device)
        blur = torch.exp(-(reach**2) / (2 * BLUR_PX**2))
        self._blur = (blur / blur.sum()).expand(3, 1, -1)

    def __call__(self, image: Tensor, axes: Tensor) -> Tensor:
        """Describe an image; see `Describer`."""
        image = self._blurred(image)
        image = F.pad(image, (SIDE // 2 * SPACING,) * 4, mode="replicate")
        filters = torch.einsum("nk,nchw->kchw", axes, self._filters)
        sums = torch.ones(3, 1, SIDE, SIDE, device=image.device)
        total, squares = (F.conv2d(values, sums, dilation=SPACING, groups=3) for values in (image, image**2))
        length = (squares - total**2 / SIDE**2).clamp(min=0).sum(1, keepdim=True) + len(self._filters) * NOISE**2
        values = F.conv2d(image, filters, dilation=SPACING) / length.sqrt()
        return (values / (values.square().sum(1, keepdim=True) + len(values[0])).sqrt())[0]

    def at(self, image: Tensor, cells: Tensor) -> Tensor:
        """Describe some pixels of an image; see `Describer`."""
        image = self._blurred(image)
        along = (torch.arange(SIDE, device=image.device) - SIDE // 2) * SPACING
        rows = (cells[:, 1, None] + along).clamp(0, image.shape[2] - 1)
        columns = (cells[:, 0, None] + along).clamp(0, image.shape[3] - 1)
        samples = image[0][:, rows[:, :, None], columns[:, None]].flatten(2)  # (3, N, samples)
        samples = samples - samples.mean(2, keepdim=True)
        length = samples.square().sum((0, 2)) + len(self._filters) * NOISE**2
        return (samples / length.sqrt()[:, None]).permute(1, 2, 0).flatten(1)

    def _blurred(self, image: Tensor) -> Tensor:
        image = F.pad(image, (_BLUR_REACH,) * 4, mode="replicate")
        return F.conv2d(F.conv2d(image, self._blur[:, :, None], groups=3), self._blur[..., None], groups=3)
