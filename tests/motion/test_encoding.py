"""Features of position and time: sampled where they should be, in the documented order."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.encoding import FeaturePlanes, PositionalEncoding, TimeCodes, TimeFeatures


def test_positional_encoding_by_hand() -> None:
    """The coordinates, then the sines of each one by octave, then the cosines of each one."""
    encoding = PositionalEncoding(2, 2)
    half = math.sqrt(0.5)
    angles = [math.pi / 4, math.pi / 2, -math.pi / 2, -math.pi]
    expected = [0.25, -0.5, half, 1.0, -1.0, 0.0, half, 0.0, 0.0, -1.0]
    assert expected[2:] == pytest.approx([*map(math.sin, angles), *map(math.cos, angles)])
    features = encoding(torch.tensor([[0.25, -0.5]]))
    torch.testing.assert_close(features, torch.tensor([expected]), rtol=0, atol=1e-6)
    assert encoding.width == 10


@pytest.mark.parametrize(("dimensions", "frequencies"), [(1, 4), (3, 1), (2, 0)])
def test_positional_encoding_is_as_wide_as_it_says(dimensions: int, frequencies: int) -> None:
    encoding = PositionalEncoding(dimensions, frequencies)
    assert encoding(torch.zeros(7, dimensions)).shape == (7, encoding.width)


def test_octaves_double_from_pi() -> None:
    features = PositionalEncoding(1, 4)(torch.tensor([[1 / 16]]))[0]
    expected = [math.sin(math.pi / 16 * 2**k) for k in range(4)]
    torch.testing.assert_close(features[1:5], torch.tensor(expected))


def test_positional_encoding_gradients() -> None:
    places = torch.tensor([[0.1, -0.7], [1.3, 0.0]], dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(PositionalEncoding(2, 4).double(), (places,))


def test_planes_are_read_bilinearly_at_their_corners_and_between() -> None:
    planes = FeaturePlanes((2,), 4)
    with torch.no_grad():
        planes.planes[0][:, 0] = torch.tensor([[0.0, 1.0], [2.0, 7.0]])
    where = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [0.0, 0.0], [0.5, -1.0]])
    read = planes(where)
    assert read.shape == (5, 4)
    torch.testing.assert_close(read[:, 0], torch.tensor([0.0, 1.0, 2.0, 2.5, 0.75]))


def test_every_plane_and_channel_has_a_feature_of_its_own() -> None:
    planes = FeaturePlanes((2, 3), 8)
    with torch.no_grad():
        for number, plane in enumerate(planes.planes):
            plane.copy_(torch.arange(8.0).view(4, 2, 1, 1) + 8 * number)
    assert planes.width == 16
    assert planes(torch.tensor([[0.3, -0.2]])).sort().values[0].tolist() == pytest.approx(list(range(16)))


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


def test_time_codes_are_read_at_times_up_to_one() -> None:
    codes = TimeCodes(4, hidden=6, width=3)
    with torch.no_grad():
        for filters in codes.network.filters:  # each is sin(pi t / 2), with a constant envelope
            filters.gamma.zero_()
            filters.linear.weight.fill_(math.pi / 2)
            filters.linear.bias.zero_()
        for linear in codes.network.linears:
            linear.weight.copy_(torch.eye(6))
            linear.bias.zero_()
        codes.network.out.weight.copy_(torch.eye(3, 6))
        codes.network.out.bias.copy_(torch.tensor([0.0, 1.0, 2.0]))
    # two layers give the third power of the sine at 1/4, 1/2, 3/4 and 1
    expected = [[math.sin(math.pi / 2 * t) ** 3 + shift for shift in range(3)] for t in (0.25, 0.5, 0.75, 1.0)]
    torch.testing.assert_close(codes(), torch.tensor(expected))


def test_time_codes_tell_neighbouring_frames_apart_and_can_learn() -> None:
    torch.manual_seed(0)
    codes = TimeCodes(80, hidden=32, width=8)
    features = codes()
    assert features.shape == (80, codes.width)
    assert (features[1:] - features[:-1]).norm(dim=-1).min() > 1e-4
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in codes.parameters())
