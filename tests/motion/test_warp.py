"""Couplings and the warp: identity at the start, exact inverses, gradients, and features read where they should be."""

from __future__ import annotations

import pytest
import torch

from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import FeaturePlanes, TimeFeatures
from omnitrack.motion.frame_map import FrameAffine
from omnitrack.motion.warp import CanonicalWarp

FRAMES = 5


def shaken(module: torch.nn.Module, scale: float = 0.5) -> torch.nn.Module:
    """The module in float64 with random parameters, so that nothing is the identity."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)
    return module


def cameras() -> torch.Tensor:
    """A different affine map for each frame."""
    maps = torch.eye(2, 3, dtype=torch.float64).repeat(FRAMES, 1, 1)
    for t in range(FRAMES):
        maps[t] += torch.tensor([[0.02, -0.1, 0.05], [0.1, 0.03, -0.02]], dtype=torch.float64) * t
    return maps


def small_warp(camera: torch.Tensor | None = None) -> CanonicalWarp:
    camera = cameras() if camera is None else camera
    time = TimeFeatures(len(camera), 2)
    return CanonicalWarp(FrameAffine(camera), time, [coupling(c, time.width) for c in (0, 1, 2, 0, 1, 2)])


def coupling(changed: int, time_width: int = 6) -> Coupling:
    return Coupling(changed, PlaneConditioner((3, 6), 4, time_width, (8, 6)), SCALAR_MAPS["spline"])


def points(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 - 1.5


def test_warp_starts_as_the_camera() -> None:
    warp = small_warp().double()
    x = points()
    frames = torch.arange(40) % FRAMES
    canonical = warp(x, frames, warp.time_columns())
    homogeneous = torch.cat([x[:, :2], torch.ones_like(x[:, :1])], -1)
    expected_xy = torch.stack([cameras()[i % FRAMES] @ homogeneous[i] for i in range(40)])
    torch.testing.assert_close(canonical, torch.cat([expected_xy, x[:, 2:]], -1), rtol=0, atol=1e-12)


def test_inverse_round_trip() -> None:
    warp = shaken(small_warp())
    x, frames = points(), torch.arange(40) % FRAMES
    columns = warp.time_columns()
    canonical = warp(x, frames, columns)
    assert (canonical - x).abs().max() > 0.1
    torch.testing.assert_close(warp.inverse(canonical, frames, columns), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(warp(warp.inverse(x, frames, columns), frames, columns), x, rtol=0, atol=1e-9)


def test_gradients_there_and_to_another_frame() -> None:
    warp = shaken(small_warp(), 0.3)
    parameters = list(warp.parameters())
    here, there = torch.tensor([0, 1, 4]), torch.tensor([3, 1, 2])

    def through(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        columns = warp.time_columns()
        return warp.inverse(warp(x, here, columns), there, columns)

    x = points(3).requires_grad_()
    assert torch.autograd.gradcheck(through, (x, *parameters), eps=1e-7, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_coupling_changes_one_coordinate(changed: int) -> None:
    layer = shaken(coupling(changed))
    x = points()
    column = torch.zeros(40, 8, dtype=torch.float64)
    after = layer(list(x.unbind(-1)), column)
    assert [bool((after[c] != x[:, c]).any()) for c in range(3)] == [c == changed for c in range(3)]


def test_result_does_not_depend_on_the_batch() -> None:
    warp = shaken(small_warp())
    x, frames = points(), torch.arange(40) % FRAMES
    columns = warp.time_columns()
    alone = torch.cat([warp(x[i : i + 1], frames[i : i + 1], columns) for i in range(40)])
    torch.testing.assert_close(alone, warp(x, frames, columns), rtol=0, atol=1e-12)


def test_planes_are_read_bilinearly_at_their_corners_and_between() -> None:
    planes = FeaturePlanes((2,), 4)
    with torch.no_grad():
        planes.planes[0][:, 0] = torch.tensor([[0.0, 1.0], [2.0, 7.0]])
    where = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0], [0.5, -1.0]])
    read = planes(where)
    assert read.shape == (5, 4)
    torch.testing.assert_close(read[:, 0], torch.tensor([0.0, 1.0, 2.0, 2.5, 0.75]))


@pytest.mark.parametrize(("frames", "lengths"), [(2, [2, 2, 2]), (8, [2, 2, 5]), (19, [2, 5, 12]), (100, [5, 25, 65])])
def test_time_grids_have_room_however_short_the_clip(frames: int, lengths: list[int]) -> None:
    time = TimeFeatures(frames, 3)
    assert [grid.shape[-1] for grid in time.grids] == lengths
    assert time().shape == (frames, 9)


def test_time_features_interpolate_linearly() -> None:
    time = TimeFeatures(5, 1)
    with torch.no_grad():
        time.grids[0].copy_(torch.tensor([[[1.0, 3.0]]]))
    torch.testing.assert_close(time()[:, 0], torch.tensor([1.0, 1.5, 2.0, 2.5, 3.0]))
