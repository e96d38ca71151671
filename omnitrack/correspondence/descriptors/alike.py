"""ALIKE's descriptors: 128 learned channels for every pixel, by a small network; the variants t, s and n.

Source:
    Zhao et al., ALIKE: Accurate and Lightweight Keypoint Detection and Descriptor Extraction, IEEE Transactions on
    Multimedia 2022. Keypoint scores, the network's last channel, are not computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnitrack.correspondence.tensor_file import mismatch, read_tensors
from omnitrack.errors import OmnitrackError
from omnitrack.weights import PublishedFile

SHRINKS = (1, 2, 4, 4)  # factors of average pooling before each block
MULTIPLE = 32  # of the sides of an image: the product of `SHRINKS`
PUBLISHED = {
    "alike-n": PublishedFile(
        "alike-n.pth",
        "https://github.com/Shiaoming/ALIKE/raw/main/models/alike-n.pth",
        "8bd4789272eec779be280f8fc1007608ff604241440a0a3377c1559199412ee3",
        1.4,
        "BSD-3-Clause",
    )
}


class _PlainBlock(nn.Module):
    """Two 3 x 3 convolutions, each followed by batch normalisation and a ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def convolved(self, image: Tensor) -> Tensor:
        """Apply everything but the last ReLU."""
        return self.bn2(self.conv2(F.relu(self.bn1(self.conv1(image)))))  # type: ignore[no-any-return]

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.convolved(image))


class _ResidualBlock(_PlainBlock):
    """A plain block to which its input, projected to as many channels, is added before the last ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.downsample = nn.Conv2d(inputs, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        return F.relu(self.convolved(image) + self.downsample(image))


class AlikeNetwork(nn.Module):
    """The descriptor half of ALIKE. Its parameters have the names of the published files.

    Four blocks process the image at 1, 1/2, 1/8 and 1/32 of its size; a layer over their upsampled outputs yields the
    descriptors. That layer and the upsampling are both linear, so the layer is applied first: only its channels, or
    what a projection leaves of them, are upsampled to the size of the image.

    Args:
        widths: Channels of the four blocks.
        channels: Channels of a descriptor.
    """

    def __init__(self, widths: tuple[int, int, int, int], channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.block1 = _PlainBlock(3, widths[0])
        self.block2 = _ResidualBlock(widths[0], widths[1])
        self.block3 = _ResidualBlock(widths[1], widths[2])
        self.block4 = _ResidualBlock(widths[2], widths[3])
        quarter = channels // 4
        self.conv1 = nn.Conv2d(widths[0], quarter, 1, bias=False)
        self.conv2 = nn.Conv2d(widths[1], quarter, 1, bias=False)
        self.conv3 = nn.Conv2d(widths[2], quarter, 1, bias=False)
        self.conv4 = nn.Conv2d(widths[3], quarter, 1, bias=False)
        self.convhead2 = nn.Conv2d(channels, channels + 1, 1, bias=False)

    def forward(self, image: Tensor, projection: Tensor | None = None) -> Tensor:
        """Describe images (B, 3, H, W), RGB in [0, 1], with H and W multiples of `MULTIPLE`.

        Args:
            image: The images.
            projection: (C, c) projection of the C channels; None keeps all channels.

        Returns:
            (B, C or c, H, W), not of unit length.
        """
        head = self.convhead2.weight[: self.channels, :, 0, 0]
        if projection is not None:
            head = projection.T @ head
        blocks = (self.block1, self.block2, self.block3, self.block4)
        layers = (self.conv1, self.conv2, self.conv3, self.conv4)
        described, values = torch.zeros((), device=image.device), image
        for block, layer, shrink, weights in zip(blocks, layers, SHRINKS, head.chunk(4, dim=1), strict=True):
            values = block(F.avg_pool2d(values, shrink) if shrink > 1 else values)
            part = F.conv2d(F.relu(layer(values)), weights[:, :, None, None])
            described = described + F.interpolate(part, size=image.shape[2:], mode="bilinear", align_corners=True)
        return described


class AlikeDescriber:
    """Describes images with a network; a `Describer`.

    Args:
        network: The network, on the device of the images.
    """

    multiple = MULTIPLE

    def __init__(self, network: AlikeNetwork) -> None:
        self._network = network

    def __call__(self, image: Tensor, axes: Tensor) -> Tensor:
        """Describe an image, with unit length along the axes; see `Describer`."""
        return F.normalize(self._network(image, axes)[0], dim=0)

    def at(self, image: Tensor, cells: Tensor) -> Tensor:
        """Describe some pixels of an image, with unit length; see `Describer`."""
        return F.normalize(self._network(image)[0][:, cells[:, 1], cells[:, 0]].T, dim=1)


def load_alike(path: Path) -> AlikeNetwork:
    """Load ALIKE-t, -s or -n from a published file, ready for inference.

    ALIKE-l has one more layer and is refused.

    Raises:
        OmnitrackError: The file cannot be read, or is not a checkpoint of ALIKE.
    """
    entries = read_tensors(path, partial(_not_alike, path))
    network = AlikeNetwork(*_sizes(entries, path))
    problem = mismatch(entries, network.state_dict())
    if problem:
        raise _not_alike(path, problem)
    network.load_state_dict(dict(entries))
    return network.eval().requires_grad_(False)


def _sizes(entries: Mapping[str, Tensor], path: Path) -> tuple[tuple[int, int, int, int], int]:
    """Return the widths of the blocks and the channels of a descriptor, from the shapes in the file."""
    found = [entries.get(f"block{block}.conv1.weight") for block in (1, 2, 3, 4)]
    head = entries.get("convhead2.weight")
    if head is None or any(weight is None or weight.ndim != 4 for weight in (*found, head)):
        raise _not_alike(path, f"it has none of its parameters; its first are {', '.join(list(entries)[:3]) or 'none'}")
    first, second, third, fourth = (len(weight) for weight in found if weight is not None)
    return (first, second, third, fourth), len(head) - 1


def _not_alike(path: Path, why: str) -> OmnitrackError:
    return OmnitrackError(
        f"{path} is not a file of ALIKE's weights: {why}",
        "download it again, or set flow.descriptors.weights to alike-n or another file of its authors",
    )
