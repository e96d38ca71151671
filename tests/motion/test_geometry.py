"""Conventions of pixels, local points and depth maps."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.depth import DepthMaps
from omnitrack.motion.geometry import Camera


def test_orthographic_convention() -> None:
    camera = Camera((200, 100))
    pixels = torch.tensor([[99.5, 49.5], [199.5, 49.5], [99.5, -0.5]])
    expected = torch.tensor([[0.0, 0.0, 0.3], [1.0, 0.0, 0.3], [0.0, -0.5, 0.3]])
    torch.testing.assert_close(camera.lift(pixels, torch.full((3,), 0.3)), expected)


def test_perspective_scales_with_distance_from_the_pinhole() -> None:
    camera = Camera((200, 100), perspective=True)
    distance = 1 / math.tan(math.radians(20))  # half the width over the tangent of half the field of view
    assert camera.plane_distance == pytest.approx(distance)
    point = camera.lift(torch.tensor([[199.5, 49.5]]), torch.tensor([distance]))
    torch.testing.assert_close(point, torch.tensor([[2.0, 0.0, distance]]))


@pytest.mark.parametrize("perspective", [False, True])
def test_project_undoes_lift(perspective: bool) -> None:
    camera = Camera((321, 123), perspective)
    pixels = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 300 - 20
    depth = torch.linspace(-1, 1, 50, dtype=torch.float64)
    torch.testing.assert_close(camera.project(camera.lift(pixels, depth)), pixels)


@pytest.mark.parametrize("perspective", [False, True])
def test_camera_gradients(perspective: bool) -> None:
    camera = Camera((64, 48), perspective)
    pixels = (torch.rand(6, 2, dtype=torch.float64) * 40).requires_grad_()
    depth = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(camera.lift, (pixels, depth))
    points = torch.rand(6, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(camera.project, (points,))


def test_depth_is_that_of_the_texel_under_the_pixel() -> None:
    maps = torch.arange(12.0).view(2, 2, 3)  # two frames of 2 x 3 texels, each 2 x 2 pixels
    depth = DepthMaps(maps, (6, 4))
    pixels = torch.tensor([[-0.5, -0.5], [1.49, 1.49], [1.51, 1.51], [5.5, 3.5], [99.0, -9.0]])
    frames = torch.tensor([0, 0, 1, 1, 0])
    assert depth(pixels, frames).tolist() == [0, 0, 10, 11, 2]


def test_depth_gradient_reaches_one_texel() -> None:
    depth = DepthMaps(torch.zeros(1, 2, 2), (4, 4))
    depth(torch.tensor([[3.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 0])).sum().backward()
    assert depth.maps.grad is not None
    assert depth.maps.grad.tolist() == [[[0.0, 2.0], [0.0, 0.0]]]


def test_texels_to_the_left_and_above_stay_in_their_frame() -> None:
    depth = DepthMaps(torch.zeros(2, 2, 3), (3, 2))
    left, above = depth.left_and_above(torch.tensor([0, 4, 5, 6, 10])).tolist()
    assert left == [0, 3, 4, 6, 9]
    assert above == [0, 1, 2, 6, 7]


def test_full_depth_repeats_texels() -> None:
    depth = DepthMaps(torch.tensor([[[1.0, 2.0]]]), (4, 2))
    assert depth.full(0).tolist() == [[1.0, 1.0, 2.0, 2.0]] * 2
