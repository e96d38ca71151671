"""The affine maps before the couplings: values by hand, exact inverses, tables and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.frame_map import FrameAffine, FrameMap, FrameNetwork, invert_affine

FRAMES = 4


def random_affine(count: int) -> torch.Tensor:
    noise = torch.randn(count, 2, 3, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return torch.eye(2, 3, dtype=torch.float64) + 0.3 * noise


def places(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return list((torch.rand(3, count, generator=generator, dtype=torch.float64) * 2 - 1).unbind())


@pytest.fixture(params=["camera", "two layers", "eight layers"])
def frame_map(request: pytest.FixtureRequest, shaken) -> FrameMap:
    """Maps of four frames, none of which is the identity."""
    if request.param == "camera":
        return FrameAffine(random_affine(FRAMES))
    return shaken(FrameNetwork(FRAMES, 2 if request.param == "two layers" else 8, hidden=8), 0.2)


def test_affine_inverse_by_hand() -> None:
    quarter_turn_and_shift = torch.tensor([[0.0, -2.0, 3.0], [2.0, 0.0, 5.0]])  # (x, y) to (3 - 2y, 5 + 2x)
    expected = torch.tensor([[0.0, 0.5, -2.5], [-0.5, 0.0, 1.5]])
    torch.testing.assert_close(invert_affine(quarter_turn_and_shift), expected)


def test_affine_inverse_is_that_of_the_homogeneous_matrix() -> None:
    affine = random_affine(30).view(5, 6, 2, 3)
    last_row = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(5, 6, 1, 3)
    expected = torch.linalg.inv(torch.cat([affine, last_row], -2))[..., :2, :]
    torch.testing.assert_close(invert_affine(affine), expected)


def test_camera_maps_by_hand() -> None:
    affine = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[2.0, 0.0, 0.5], [1.0, 3.0, -1.0]]])
    x, y, z = FrameAffine(affine)([torch.ones(2), torch.full((2,), 2.0), torch.full((2,), 7.0)], torch.tensor([1, 0]))
    assert x.tolist() == [2.5, 1.0]
    assert y.tolist() == [6.0, 2.0]
    assert z.tolist() == [7.0, 7.0]


@pytest.mark.parametrize("layers", [2, 8])
def test_network_starts_as_the_identity(layers: int) -> None:
    x, y, z = places(8)
    moved = FrameNetwork(FRAMES, layers).double()([x, y, z], torch.arange(8) % FRAMES)
    for before, after in zip((x, y, z), moved, strict=True):
        assert torch.equal(before, after)


def test_five_outputs_are_an_angle_two_log_scales_and_two_shifts() -> None:
    network = FrameNetwork(FRAMES)
    with torch.no_grad():
        network.layers[-1].bias.copy_(torch.tensor([math.pi / 6, math.log(2.0), 0.3, math.log(4.0), -0.7]))
    # the rows of a turn by 30 degrees, times 2 and times 4
    cos, sin = math.sqrt(3) / 2, 0.5
    expected = torch.tensor([[[2 * cos, -2 * sin, 0.3], [4 * sin, 4 * cos, -0.7]]])
    torch.testing.assert_close(network.matrices(torch.tensor([2]), torch.tensor([0.4])), expected)


def test_network_reads_the_depth_its_octaves_and_the_time() -> None:
    network = FrameNetwork(FRAMES, num_layers=1)
    with torch.no_grad():
        weight = network.layers[0].weight
        assert weight.shape == (5, 10)
        weight[2, 0] = 1.0  # shift of x: the depth
        weight[4, 1] = 1.0  # shift of y: sin(pi depth)
        weight[4, 8] = 1.0  # and cos(8 pi depth)
        weight[1, 9] = 1.0  # log scale of x: the time
    matrix = network.matrices(torch.tensor([2]), torch.tensor([0.3]))[0]
    shift = math.sin(0.3 * math.pi) + math.cos(2.4 * math.pi)
    torch.testing.assert_close(matrix, torch.tensor([[math.exp(0.75), 0.0, 0.3], [0.0, 1.0, shift]]))


def test_network_has_rectifiers_between_its_layers(shaken) -> None:
    network = shaken(FrameNetwork(FRAMES, num_layers=3, hidden=6))
    depth, frames = places(5)[2], torch.tensor([0, 1, 2, 3, 0])
    matrices = network.matrices(frames, depth)
    for p in range(5):
        d = depth[p].item()
        angles = [d * math.pi * 2**k for k in range(4)]
        hidden = [d, *map(math.sin, angles), *map(math.cos, angles), (frames[p].item() + 1) / FRAMES]
        for number, layer in enumerate(network.layers):
            rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            hidden = [sum(w * h for w, h in zip(row, hidden, strict=True)) + bias for row, bias in rows]
            hidden = hidden if number == 2 else [max(0.0, h) for h in hidden]
        assert matrices[p, 0, 2].item() == pytest.approx(hidden[2], abs=1e-5)
        assert matrices[p, 1, 2].item() == pytest.approx(hidden[4], abs=1e-5)


def test_inverse_round_trip_keeps_depths(frame_map: FrameMap) -> None:
    x, y, z = places(40)
    frames = torch.arange(40) % FRAMES
    there = frame_map([x, y, z], frames)
    assert (there[0] - x).abs().max() > 0.1
    assert torch.equal(there[2], z)
    for moved, original in zip(frame_map.inverse(there, frames), (x, y, z), strict=True):
        torch.testing.assert_close(moved, original, rtol=0, atol=1e-11)
    for moved, original in zip(frame_map(frame_map.inverse([x, y, z], frames), frames), (x, y, z), strict=True):
        torch.testing.assert_close(moved, original, rtol=0, atol=1e-11)


def test_a_table_holds_the_maps_of_all_frames_at_all_depths(frame_map: FrameMap) -> None:
    depths = torch.tensor([0.0, 0.4, 1.1, 2.0, 2.5], dtype=torch.float64)
    table = frame_map.table(depths)
    assert table.shape == (FRAMES, 5, 2, 3)
    for frame in range(FRAMES):
        for k in range(5):
            alone = frame_map.matrices(torch.tensor([frame]), depths[k : k + 1])[0]
            torch.testing.assert_close(table[frame, k], alone, rtol=0, atol=1e-12)


def test_known_matrices_are_used_as_they_are(frame_map: FrameMap) -> None:
    x, y, z = places(2)
    mirrored = torch.tensor([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64).expand(2, -1, -1)
    moved = frame_map([x, y, z], torch.tensor([0, 1]), mirrored)
    assert torch.equal(torch.stack(moved), torch.stack([-x, y, z]))


@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_gradients(frame_map: FrameMap, way: str) -> None:
    frames = torch.tensor([0, 2, 3])
    inputs = [c.requires_grad_() for c in places(3)]

    def mapped(x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.stack(getattr(frame_map, way)([x, y, z], frames))

    assert torch.autograd.gradcheck(mapped, (*inputs, *frame_map.parameters()), fast_mode=True)
