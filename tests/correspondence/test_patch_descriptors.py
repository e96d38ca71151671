"""Patches of colours as descriptors, against a plain form."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from omnitrack.correspondence.descriptors.patches import BLUR_PX, NOISE, SIDE, SPACING, PatchDescriber


def picture(seed: int = 0, height: int = 20, width: int = 28) -> Tensor:
    torch.manual_seed(seed)
    return torch.rand(1, 3, height, width)


def plain(image: Tensor, row: int, column: int) -> np.ndarray:
    """Return the patch around a pixel, sample by sample."""
    blurred = cv2.GaussianBlur(image[0].permute(1, 2, 0).numpy(), (7, 7), BLUR_PX, borderType=cv2.BORDER_REPLICATE)
    height, width = blurred.shape[:2]
    offsets = (np.arange(SIDE) - SIDE // 2) * SPACING
    rows, columns = (row + offsets).clip(0, height - 1), (column + offsets).clip(0, width - 1)
    patch = blurred[np.ix_(rows, columns)].reshape(-1, 3)
    patch = patch - patch.mean(0)
    return patch.flatten() / np.sqrt(np.square(patch).sum() + patch.size * NOISE**2)


CHANNELS = 3 * SIDE**2
EVERY = torch.tensor([(x, y) for y in range(20) for x in range(28)])


def test_a_descriptor_is_a_patch_without_its_mean_and_length() -> None:
    image = picture()
    found = PatchDescriber().at(image, EVERY)
    assert found.shape == (len(EVERY), CHANNELS)
    for row, column in ((10, 14), (0, 0), (19, 3)):
        assert np.allclose(found[row * 28 + column], plain(image, row, column), atol=1e-5)


def test_a_map_is_the_same_along_axes_and_shorter_where_noise_could_be_all() -> None:
    image, describe = picture(), PatchDescriber()
    axes = 5 * torch.randn(CHANNELS, 6)
    along = describe.at(image, EVERY) @ axes
    wanted = along / (along.square().sum(1, keepdim=True) + 6).sqrt()
    assert torch.allclose(describe(image, axes).flatten(1).T, wanted, atol=1e-5)
    assert describe(image, axes).norm(dim=0).max() < 1


def test_brightness_of_the_whole_patch_changes_nothing_and_noise_is_like_nothing() -> None:
    image = picture() * 0.5
    describe = PatchDescriber()
    assert torch.allclose(describe.at(image + 0.3, EVERY), describe.at(image, EVERY), atol=1e-4)
    faint = describe.at(0.5 + 1e-3 * picture(1), EVERY)
    assert describe.at(image, EVERY).norm(dim=1).min() > 0.9 and faint.norm(dim=1).max() < 0.2
