"""The affine map of the line against hand computation, its inverse and its gradients."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.affine import NUM_PARAMETERS, Affine, affine_from_parameters, evaluate, invert


def random_parameters(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, NUM_PARAMETERS, generator=generator, dtype=torch.float64) * 3


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (2.5, 1.0), (-1.5, -1.0), (0.0, -0.25)])
def test_values_by_hand(x: float, y: float) -> None:
    halve_from_one_half = affine_from_parameters(torch.tensor([math.log(2.0), 0.5]))
    assert evaluate(halve_from_one_half, torch.tensor(x)).item() == pytest.approx(y)
    assert invert(halve_from_one_half, torch.tensor(y)).item() == pytest.approx(x)


def test_zeros_are_the_identity() -> None:
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    identity = affine_from_parameters(torch.zeros(41, NUM_PARAMETERS, dtype=torch.float64))
    assert torch.equal(evaluate(identity, x), x)
    assert torch.equal(invert(identity, x), x)


def test_scale_is_limited_and_shift_is_not() -> None:
    raw = torch.tensor([[50.0, 50.0], [-50.0, -50.0], [8.0, 0.0], [7.5, 1.0]])
    limited = affine_from_parameters(raw)
    assert limited.log_scale.tolist() == [8.0, -8.0, 8.0, 7.5]
    assert limited.shift.tolist() == [50.0, -50.0, 0.0, 1.0]
    largest = invert(limited, torch.ones(4))
    torch.testing.assert_close(largest[:2], torch.tensor([math.exp(8) + 50, math.exp(-8) - 50]))


def test_inverse_round_trip_and_monotone() -> None:
    affine = affine_from_parameters(random_parameters(200)[:, None, :].expand(-1, 101, -1))
    x = torch.linspace(-4, 4, 101, dtype=torch.float64).expand(200, -1)
    y = evaluate(affine, x)
    assert (y.diff(dim=-1) > 0).all()
    torch.testing.assert_close(invert(affine, y), x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", [evaluate, invert])
def test_gradients(function) -> None:
    raw = (random_parameters(12) / 3).requires_grad_()
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, q: function(affine_from_parameters(r), q), (raw, x))


def test_one_map_serves_many_points() -> None:
    doubled = Affine(log_scale=torch.tensor(-math.log(2.0)), shift=torch.tensor(0.0))
    torch.testing.assert_close(evaluate(doubled, torch.tensor([1.0, -3.0])), torch.tensor([2.0, -6.0]))
