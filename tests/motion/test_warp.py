"""Couplings and the warp, for every map, conditioner and frame map: initial identity, exact inverses, gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from omnitrack.motion.conditioner import Conditioner, NetworkConditioner, PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import TimeCodes, TimeFeatures
from omnitrack.motion.frame_map import FrameAffine, FrameMap, FrameNetwork
from omnitrack.motion.warp import CanonicalWarp

FRAMES = 5
TIME_WIDTH = 6
HIDDEN = (8, 6)


def cameras() -> torch.Tensor:
    """Return a different affine map for each frame."""
    maps = torch.eye(2, 3, dtype=torch.float64).repeat(FRAMES, 1, 1)
    for t in range(FRAMES):
        maps[t] += torch.tensor([[0.02, -0.1, 0.05], [0.1, 0.03, -0.02]], dtype=torch.float64) * t
    return maps


FRAME_MAPS: dict[str, Callable[[], FrameMap]] = {
    "camera": lambda: FrameAffine(cameras()),
    "network of 2": lambda: FrameNetwork(FRAMES, 2, hidden=8),
    "network of 8": lambda: FrameNetwork(FRAMES, 8, hidden=8),
}
CONDITIONERS: dict[str, Callable[[], Conditioner]] = {
    "planes": lambda: PlaneConditioner((3, 6), 4, TIME_WIDTH, HIDDEN),
    "network": lambda: NetworkConditioner(TIME_WIDTH, HIDDEN, frequencies=2),
}


def made_of(scalar_map: str, conditioner: str, frame_map: str) -> CanonicalWarp:
    torch.manual_seed(0)
    time = TimeFeatures(FRAMES, 2) if conditioner == "planes" else TimeCodes(FRAMES, 5, TIME_WIDTH)
    layers = [Coupling(c, CONDITIONERS[conditioner](), SCALAR_MAPS[scalar_map]) for c in (0, 1, 2, 0, 1, 2)]
    return CanonicalWarp(FRAME_MAPS[frame_map](), time, layers)


@pytest.fixture(params=FRAME_MAPS)
def frame_map(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=CONDITIONERS)
def conditioner(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=SCALAR_MAPS)
def scalar_map(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def warp(scalar_map: str, conditioner: str, frame_map: str) -> CanonicalWarp:
    """Every combination of the parts, as initialised, in float64."""
    return made_of(scalar_map, conditioner, frame_map).double()


@pytest.fixture
def bent(warp: CanonicalWarp, shaken) -> CanonicalWarp:
    """Every combination, with random parameters."""
    return shaken(warp, 0.3)


def points(count: int = 40) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 3 - 1.5


def test_warp_starts_as_its_frame_map(warp: CanonicalWarp, frame_map: str) -> None:
    x = points()
    canonical = warp(x, torch.arange(40) % FRAMES, warp.time_columns())
    homogeneous = torch.cat([x[:, :2], torch.ones_like(x[:, :1])], -1)
    maps = cameras() if frame_map == "camera" else torch.eye(2, 3, dtype=torch.float64).repeat(FRAMES, 1, 1)
    expected_xy = torch.stack([maps[i % FRAMES] @ homogeneous[i] for i in range(40)])
    torch.testing.assert_close(canonical, torch.cat([expected_xy, x[:, 2:]], -1), rtol=0, atol=1e-12)


def test_inverse_round_trip_both_ways(bent: CanonicalWarp) -> None:
    x, frames = points(), torch.arange(40) % FRAMES
    columns = bent.time_columns()
    canonical = bent(x, frames, columns)
    assert (canonical - x).abs().max() > 0.1
    torch.testing.assert_close(bent.inverse(canonical, frames, columns), x, rtol=0, atol=1e-9)
    torch.testing.assert_close(bent(bent.inverse(x, frames, columns), frames, columns), x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_every_coordinate_depends_on_the_place_and_on_the_frame(bent: CanonicalWarp, way: str) -> None:
    columns = bent.time_columns()
    x = points(1).expand(FRAMES, -1)
    elsewhere = x + torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    here, there = (getattr(bent, way)(p, torch.arange(FRAMES), columns) for p in (x, elsewhere))
    assert (here != there).all()
    assert (here[1:] != here[:-1]).all()


def test_gradients_there_and_to_another_frame(bent: CanonicalWarp) -> None:
    """By the points and all parameters at once: central differences along random directions of that large space."""
    here, there = torch.tensor([0, 1, 4, 2]), torch.tensor([3, 1, 2, 0])
    inputs = [points(4).requires_grad_(), *bent.parameters()]
    generator = torch.Generator().manual_seed(2)
    weights = torch.randn(4, 3, generator=generator, dtype=torch.float64)

    def through() -> torch.Tensor:
        columns = bent.time_columns()
        return (weights * bent.inverse(bent(inputs[0], here, columns), there, columns)).sum()

    gradients = torch.autograd.grad(through(), inputs)
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    step = 1e-6
    for _ in range(4):
        direction = [torch.randn(i.shape, generator=generator, dtype=torch.float64) for i in inputs]
        ends = []
        with torch.no_grad():
            for shift in (step, -2 * step, step):  # forward, backward, and back again
                for value, along in zip(inputs, direction, strict=True):
                    value += shift * along
                ends.append(through().item())
        slope = sum((g * along).sum().item() for g, along in zip(gradients, direction, strict=True))
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_result_does_not_depend_on_the_batch(bent: CanonicalWarp) -> None:
    x, frames = points(12), torch.arange(12) % FRAMES
    columns = bent.time_columns()
    alone = torch.cat([bent(x[i : i + 1], frames[i : i + 1], columns) for i in range(12)])
    torch.testing.assert_close(alone, bent(x, frames, columns), rtol=0, atol=1e-12)


def test_a_table_of_frame_maps_changes_nothing(bent: CanonicalWarp) -> None:
    depths = torch.tensor([0.0, 0.3, 1.7], dtype=torch.float64)
    frames = torch.tensor([4, 0, 2, 2])
    x = points(12)
    x[:, 2] = depths.repeat(4)  # four rays of three samples
    along = frames.repeat_interleave(3)
    columns = bent.time_columns()
    table = bent.frame_matrices(depths)
    assert table.shape == (FRAMES, 3, 2, 3)
    known = bent(x, along, columns, table[frames].flatten(0, 1))
    torch.testing.assert_close(known, bent(x, along, columns), rtol=0, atol=1e-12)


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_coupling_changes_one_coordinate_by_the_other_two(
    changed: int, scalar_map: str, conditioner: str, shaken
) -> None:
    layer = shaken(Coupling(changed, CONDITIONERS[conditioner](), SCALAR_MAPS[scalar_map]))
    x, column = points(), torch.zeros(40, HIDDEN[0], dtype=torch.float64)
    after = layer(list(x.unbind(-1)), column)
    assert [bool((after[c] != x[:, c]).any()) for c in range(3)] == [c == changed for c in range(3)]
    for kept in {0, 1, 2} - {changed}:
        moved = x.clone()
        moved[:, kept] += 0.1
        assert (layer(list(moved.unbind(-1)), column)[changed] != after[changed]).any()


def test_coupling_is_monotone_in_its_coordinate(scalar_map: str, conditioner: str, shaken) -> None:
    layer = shaken(Coupling(2, CONDITIONERS[conditioner](), SCALAR_MAPS[scalar_map]))
    z = torch.linspace(-2, 2, 40, dtype=torch.float64)
    others = torch.full_like(z, 0.4)
    after = layer([others, others, z], torch.zeros(40, HIDDEN[0], dtype=torch.float64))[2]
    assert (after.diff() > 0).all()


def test_affine_coupling_by_hand() -> None:
    layer = Coupling(1, CONDITIONERS["network"](), SCALAR_MAPS["affine"])
    with torch.no_grad():
        layer.last.bias.copy_(torch.tensor([0.5, 2.0]))  # log scale and shift
    x, y, z = torch.tensor([0.1]), torch.tensor([3.0]), torch.tensor([-0.2])
    column = torch.zeros(1, HIDDEN[0])
    assert layer([x, y, z], column)[1].item() == pytest.approx((3.0 - 2.0) * 0.60653066)
    assert layer.inverse([x, y, z], column)[1].item() == pytest.approx(3.0 * 1.64872127 + 2.0)


def test_the_hoisted_column_is_the_time_part_of_one_layer_that_reads_time_and_place(conditioner: str, shaken) -> None:
    parts = shaken(CONDITIONERS[conditioner]())
    generator = torch.Generator().manual_seed(3)
    time = torch.randn(9, TIME_WIDTH, generator=generator, dtype=torch.float64)
    place = torch.randn(9, 2, generator=generator, dtype=torch.float64)

    at = torch.tanh(place) if conditioner == "planes" else place
    of_time = parts.code(time) if conditioner == "network" else time
    whole = torch.nn.Linear(TIME_WIDTH + parts.from_place.in_features, HIDDEN[0]).double()
    with torch.no_grad():
        whole.weight.copy_(torch.cat([parts.from_time.weight, parts.from_place.weight], 1))
        whole.bias.copy_(parts.from_time.bias)
    hidden = F.leaky_relu(whole(torch.cat([of_time, parts.encoding(at)], 1)), 0.01)
    for layer in parts.layers:
        hidden = F.leaky_relu(layer(hidden), 0.01)

    assert hidden.shape == (9, parts.width)
    torch.testing.assert_close(parts(place, parts.column(time)), hidden, rtol=0, atol=1e-12)


def test_the_network_conditioner_encodes_places_and_gives_each_layer_a_code_of_its_own(shaken) -> None:
    parts = shaken(NetworkConditioner(TIME_WIDTH, HIDDEN, frequencies=4))
    octaves = torch.pi * torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)
    place = points(4)[:, :2]
    angles = torch.cat([place[:, :1] * octaves, place[:, 1:] * octaves], 1)
    encoded = torch.cat([place, torch.sin(angles), torch.cos(angles)], 1)
    first = parts.encoding[1]
    expected = F.leaky_relu(encoded @ first.weight.T + first.bias, 0.01)
    torch.testing.assert_close(parts.encoding(place), expected, rtol=0, atol=1e-5)

    time = torch.ones(1, TIME_WIDTH, dtype=torch.float64)
    inner, _, outer = parts.code
    code = outer(F.leaky_relu(inner(time), 0.01))
    torch.testing.assert_close(parts.column(time), parts.from_time(code))
    assert (parts.column(time) != parts.from_time(time)).all()
