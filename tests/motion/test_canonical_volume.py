"""The contraction of space and the canonical volume, where their values can be computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.canonical import CanonicalVolume, contract
from omnitrack.motion.gabor import GaborNetwork


def random_points(count: int, scale: float) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64) * scale


def test_contraction_leaves_the_unit_ball_alone() -> None:
    points = random_points(200, 1.0)
    inside = points[points.norm(dim=-1) <= 1]
    assert len(inside) > 20
    torch.testing.assert_close(contract(inside), inside, rtol=0, atol=1e-15)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((2.0, 0.0, 0.0), (1.5, 0.0, 0.0)),
        ((0.0, -4.0, 0.0), (0.0, -1.75, 0.0)),
        ((6.0, 0.0, 8.0), (1.14, 0.0, 1.52)),  # length 10 to 1.9
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ],
)
def test_contraction_by_hand(point: tuple[float, ...], expected: tuple[float, ...]) -> None:
    torch.testing.assert_close(contract(torch.tensor([point])), torch.tensor([expected]))


def test_contraction_keeps_directions_and_ends_at_radius_two() -> None:
    points = random_points(100, 30.0)
    contracted = contract(points)
    length = points.norm(dim=-1)
    torch.testing.assert_close(contracted.norm(dim=-1), torch.where(length > 1, 2 - 1 / length, length))
    torch.testing.assert_close(torch.cosine_similarity(points, contracted), torch.ones(100, dtype=torch.float64))
    assert contract(torch.tensor([[1e9, 0.0, 0.0]])).norm() <= 2


def test_contraction_is_continuous_with_its_slope_at_the_unit_sphere() -> None:
    radii = torch.tensor([1 - 1e-6, 1.0, 1 + 1e-6], dtype=torch.float64)
    along = contract(torch.stack([radii, 0 * radii, 0 * radii], -1))[:, 0]
    torch.testing.assert_close(along, radii, rtol=0, atol=1e-11)  # 2 - 1/r = 1 + (r - 1) - (r - 1)^2 + ...


def test_contraction_gradients_inside_outside_and_at_zero() -> None:
    points = torch.cat([random_points(4, 0.3), random_points(4, 5.0), torch.zeros(1, 3, dtype=torch.float64)])
    assert torch.autograd.gradcheck(contract, (points.requires_grad_(),))
    assert points.grad is None
    contract(points).sum().backward()
    torch.testing.assert_close(points.grad[-1], torch.ones(3, dtype=torch.float64))


@pytest.fixture
def volume() -> CanonicalVolume:
    """A small volume whose last layer is zero except for its bias."""
    torch.manual_seed(0)
    volume = CanonicalVolume(hidden=8, num_layers=2)
    with torch.no_grad():
        volume.network.out.weight.zero_()
        volume.network.out.bias.copy_(torch.tensor([0.0, math.log(3.0), -math.log(3.0), 1.0]))
    return volume


def test_volume_of_constant_outputs_by_hand(volume: CanonicalVolume) -> None:
    density, color = volume(random_points(5, 2.0).float())
    torch.testing.assert_close(density, torch.full((5,), math.log(2.0)))  # softplus(1 - 1)
    torch.testing.assert_close(color, torch.tensor([[0.5, 0.75, 0.25]]).expand(5, -1))


def test_density_is_the_softplus_of_the_output_less_one(volume: CanonicalVolume) -> None:
    with torch.no_grad():
        volume.network.out.bias[3] = 3.0
    density, _ = volume(torch.zeros(1, 3))
    assert density.item() == pytest.approx(math.log(1 + math.exp(2.0)))


def test_volume_by_closed_form(volume: CanonicalVolume) -> None:
    """With constant envelopes, equal filters and identity layers, the output is sin(x)^3 of a contracted coordinate."""
    network = volume.network
    assert isinstance(network, GaborNetwork)
    with torch.no_grad():
        for response in network.filters:
            response.gamma.zero_()
            response.linear.weight.zero_()
            response.linear.weight[:, 0] = 1.0
            response.linear.bias.zero_()
        for linear in network.linears:
            linear.weight.copy_(torch.eye(8))
            linear.bias.zero_()
        network.out.weight[0, 0] = 1.0  # red
        network.out.weight[3, 1] = 2.0  # density
    density, color = volume(torch.tensor([[0.5, 0.0, 0.0], [4.0, 0.0, 0.0]]))
    for k, x in enumerate((0.5, 1.75)):
        value = math.sin(x) ** 3
        assert density[k].item() == pytest.approx(math.log(1 + math.exp(1 + 2 * value - 1)), rel=1e-5)
        assert color[k, 0].item() == pytest.approx(1 / (1 + math.exp(-value)), rel=1e-5)
        assert color[k, 1].item() == pytest.approx(0.75)


def test_volume_stays_in_its_bounds_everywhere(shaken) -> None:
    volume = shaken(CanonicalVolume(16, 3), 3.0)
    density, color = volume(random_points(300, 4.0))
    assert density.shape == (300,)
    assert color.shape == (300, 3)
    assert (density >= 0).all()
    assert ((color >= 0) & (color <= 1)).all()
    assert density.max() - density.min() > 1


def test_volume_gradients(shaken) -> None:
    volume = shaken(CanonicalVolume(4, 2), 0.1)
    with torch.no_grad():
        for response in volume.network.filters:
            response.linear.weight /= 50
    points = random_points(5, 1.5).requires_grad_()
    inputs = (points, *volume.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: volume(x), inputs, fast_mode=True)
