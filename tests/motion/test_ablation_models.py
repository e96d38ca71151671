"""The mappings of the ablations: two networks that are only trained to be inverse, and flow without a volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrack.motion import ablation_models
from omnitrack.motion.ablation_models import Displacement, PlanarField, TwoNetworkWarp
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.frame_map import FrameAffine
from omnitrack.motion.geometry import Camera

FRAMES = 3
SIZE = (10, 6)
HIDDEN = (7, 5)


def shifts() -> torch.Tensor:
    """Return maps that shift frame t by (0.1 t, -0.2 t)."""
    maps = torch.eye(2, 3).repeat(FRAMES, 1, 1)
    maps[:, 0, 2] = 0.1 * torch.arange(FRAMES)
    maps[:, 1, 2] = -0.2 * torch.arange(FRAMES)
    return maps


def points(count: int) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(8)) * 2 - 1


@pytest.fixture
def warp() -> TwoNetworkWarp:
    return TwoNetworkWarp(FrameAffine(shifts()), TimeFeatures(FRAMES, 2), HIDDEN)


@pytest.fixture
def field() -> PlanarField:
    return PlanarField(Camera(SIZE), TimeFeatures(FRAMES, 2), HIDDEN)


def test_displacement_starts_at_zero_and_adds_its_last_layer() -> None:
    moves = Displacement(3, 2, HIDDEN)
    column = torch.zeros(4, HIDDEN[0])
    assert torch.equal(moves(points(4), column), points(4))
    with torch.no_grad():
        moves.last.bias.copy_(torch.tensor([1.0, -2.0, 0.5]))
    torch.testing.assert_close(moves(points(4), column), points(4) + torch.tensor([1.0, -2.0, 0.5]))


def test_two_networks_start_as_the_camera_and_its_inverse(warp: TwoNetworkWarp) -> None:
    x, frames = points(6), torch.arange(6) % FRAMES
    moved = x + torch.tensor([0.1, -0.2, 0.0]) * frames[:, None]
    columns = warp.time_columns()
    torch.testing.assert_close(warp(x, frames, columns), moved)
    torch.testing.assert_close(warp.inverse(moved, frames, columns), x)


def test_nothing_makes_the_two_networks_inverse(warp: TwoNetworkWarp, shaken) -> None:
    warp = shaken(warp)
    x, frames = points(6).double(), torch.arange(6) % FRAMES
    columns = warp.time_columns()
    back = warp.inverse(warp(x, frames, columns), frames, columns)
    assert (back - x).norm(dim=-1).min() > 1e-3


def test_each_way_of_the_two_networks_reads_a_column_of_its_own(warp: TwoNetworkWarp, shaken) -> None:
    warp = shaken(warp)
    x, frames = points(6).double(), torch.arange(6) % FRAMES
    columns = warp.time_columns()
    there, back = columns.there_columns, columns.back_columns
    assert torch.equal(warp(x, frames, replace(columns, back_columns=0 * back)), warp(x, frames, columns))
    assert torch.equal(
        warp.inverse(x, frames, replace(columns, there_columns=0 * there)), warp.inverse(x, frames, columns)
    )
    torch.testing.assert_close(there, warp.there.conditioner.from_time(warp.time()))
    torch.testing.assert_close(back, warp.back.conditioner.from_time(warp.time()))


def test_two_networks_use_a_table_of_frame_maps(warp: TwoNetworkWarp, shaken) -> None:
    warp = shaken(warp)
    depths = torch.tensor([0.2, 0.9], dtype=torch.float64)
    frames = torch.tensor([2, 0, 1])
    x = points(6).double()
    x[:, 2] = depths.repeat(3)
    along, columns = frames.repeat_interleave(2), warp.time_columns()
    known = warp(x, along, columns, warp.frame_matrices(depths)[frames].flatten(0, 1))
    torch.testing.assert_close(known, warp(x, along, columns), rtol=0, atol=1e-12)


def test_two_networks_have_gradients_there_and_back(warp: TwoNetworkWarp, shaken) -> None:
    warp = shaken(warp)
    here, there = torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0])

    def through(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        columns = warp.time_columns()
        return warp.inverse(warp(x, here, columns), there, columns)

    inputs = (points(3).double().requires_grad_(), *warp.parameters())
    assert torch.autograd.gradcheck(through, inputs, eps=1e-7, atol=1e-5, fast_mode=True)


def test_planar_flow_starts_at_zero(field: PlanarField) -> None:
    pixels = torch.tensor([[0.0, 0.0], [9.0, 5.0], [3.25, 1.5]])
    landed = field(pixels, torch.tensor([0, 1, 2]), torch.tensor([2, 1, 0]))
    torch.testing.assert_close(landed, pixels)


def test_planar_flow_is_in_half_longer_sides(field: PlanarField) -> None:
    with torch.no_grad():
        field.network.last.bias.copy_(torch.tensor([0.4, -0.2]))  # in units of five pixels
    landed = field(torch.tensor([[3.0, 2.0]]), torch.tensor([0]), torch.tensor([1]))
    torch.testing.assert_close(landed, torch.tensor([[5.0, 1.0]]))


def test_planar_flow_depends_on_both_frames_and_their_order(field: PlanarField, shaken) -> None:
    field = shaken(field)
    pixels = torch.full((4, 2), 3.0, dtype=torch.float64)
    landed = field(pixels, torch.tensor([0, 1, 0, 2]), torch.tensor([1, 0, 2, 2]))
    for one in range(4):
        for other in range(one):
            assert (landed[one] != landed[other]).all()


def test_planar_flow_reads_the_time_of_the_source_before_that_of_the_target(field: PlanarField, shaken) -> None:
    field = shaken(field)
    with torch.no_grad():
        field.network.conditioner.from_time.weight[:, : field.time.width] = 0  # weights of the source's time
    pixels = torch.full((3, 2), 3.0, dtype=torch.float64)
    landed = field(pixels, torch.tensor([0, 1, 0]), torch.tensor([2, 2, 1]))
    torch.testing.assert_close(landed[0], landed[1])
    assert (landed[0] != landed[2]).all()


def test_planar_gradients(field: PlanarField, shaken) -> None:
    field = shaken(field)
    sources, targets = torch.tensor([0, 1]), torch.tensor([2, 0])
    pixels = torch.tensor([[1.5, 2.0], [7.0, 4.0]], dtype=torch.float64).requires_grad_()
    inputs = (pixels, *field.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: field(x, sources, targets), inputs, fast_mode=True)


def test_planar_tracks_are_visible_on_the_frame(field: PlanarField) -> None:
    with torch.no_grad():
        field.network.last.bias.copy_(torch.tensor([0.4, 0.0]))  # everything moves two pixels to the right
    tracks = field.track(0, np.array([[0.0, 1.0], [7.0, 2.0], [8.0, 3.0]]), [1, 2])
    assert tracks.pixels.shape == (3, 2, 2)
    np.testing.assert_allclose(tracks.pixels[:, 0], [[2, 1], [9, 2], [10, 3]], atol=1e-5)
    assert tracks.depth.tolist() == [[0.0, 0.0]] * 3
    assert tracks.visible.tolist() == [[True, True], [True, True], [False, False]]  # the frame ends at 9.5


def test_planar_tracks_do_not_depend_on_the_chunk(field: PlanarField, shaken, monkeypatch: pytest.MonkeyPatch) -> None:
    field = shaken(field).float()
    pixels = np.random.default_rng(0).random((11, 2)) * SIZE
    whole = field.track(1, pixels, [0, 1, 2])
    monkeypatch.setattr(ablation_models, "CHUNK_POINTS", 4)
    parts = field.track(1, pixels, [0, 1, 2])
    assert np.ptp(whole.pixels - pixels[:, None]) > 0.1
    np.testing.assert_allclose(parts.pixels, whole.pixels, rtol=0, atol=1e-5)


def test_planar_maps_have_no_depth_and_are_places_in_the_first_frame(field: PlanarField) -> None:
    with torch.no_grad():
        field.network.last.bias.copy_(torch.tensor([0.4, 0.0]))
    assert field.num_frames == FRAMES
    assert field.depth_map(1).shape == (6, 10)
    assert not field.depth_map(1).any()
    canonical = field.canonical_map(2)
    assert canonical.shape == (6, 10, 3)
    # pixel (4, 2) is at (-0.1, -0.1) and moves by 0.4
    np.testing.assert_allclose(canonical[2, 4], [0.3, -0.1, 0.0], atol=1e-6)
