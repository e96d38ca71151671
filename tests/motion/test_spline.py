"""The monotone spline against hand computation, a plain interpolation, its inverse and its gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from omnitrack.motion.spline import NUM_PARAMETERS, evaluate, invert


def random_parameters(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, NUM_PARAMETERS, generator=generator, dtype=torch.float64) * 3


def plain(raw: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Evaluate the map as its docstring defines it, by its knots: numbers (10,), x (n,)."""
    free = 0.025 + 0.95 / (1 + np.exp(-raw))
    knots = [np.array([-w[0] - w[1], -w[1], w[2], w[2] + w[3]]) for w in (free[:4], free[4:8])]
    left, right = 2 * free[8] * (x - knots[0][0]), 2 * free[9] * (x - knots[0][3])
    return np.interp(x, *knots) + np.minimum(left, 0) + np.maximum(right, 0)


def test_it_is_the_plain_interpolation() -> None:
    raw, x = random_parameters(50), np.linspace(-4, 4, 101)
    for numbers in raw:
        found = evaluate(numbers.expand(101, -1), torch.from_numpy(x))
        np.testing.assert_allclose(found.numpy(), plain(numbers.numpy(), x), atol=1e-12)


def test_values_by_hand() -> None:
    """Knots (-1.2375, -1), (-0.7375, -0.5), (0.5, 0.5), (1, 1), slope 0.525 to the left; sigmoid(log 3) is 3/4."""
    raw = torch.zeros(NUM_PARAMETERS, dtype=torch.float64)
    raw[1], raw[8] = math.log(3.0), -math.log(3.0)
    for x, y in ((-2.2375, -1.525), (-1.2375, -1), (-0.9875, -0.75), (-0.11875, 0), (0.5, 0.5), (0.75, 0.75), (3, 3)):
        assert evaluate(raw, torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(y)
        assert invert(raw, torch.tensor(y, dtype=torch.float64)).item() == pytest.approx(x)


def test_zeros_are_the_identity() -> None:
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    raw = torch.zeros(41, NUM_PARAMETERS, dtype=torch.float64)
    torch.testing.assert_close(evaluate(raw, x), x, rtol=0, atol=1e-14)
    torch.testing.assert_close(invert(raw, x), x, rtol=0, atol=1e-14)


def test_inverse_round_trip_and_monotone() -> None:
    raw = random_parameters(200)[:, None, :].expand(-1, 101, -1)
    x = torch.linspace(-4, 4, 101, dtype=torch.float64).expand(200, -1)
    y = evaluate(raw, x)
    assert (y.diff(dim=-1) > 0).all()
    torch.testing.assert_close(invert(raw, y), x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", [evaluate, invert])
def test_gradients(function) -> None:
    raw = random_parameters(12).requires_grad_()
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(function, (raw, x))


def test_slopes_and_gradients_stay_finite_at_the_extremes() -> None:
    raw = torch.tensor([[-60.0, 60.0] * 5, [60.0, -60.0] * 5], requires_grad=True)
    x = torch.tensor([0.3, -0.7])
    y = evaluate(raw, x)
    assert torch.isfinite(y).all()
    torch.testing.assert_close(invert(raw, y), x, rtol=0, atol=1e-4)
    invert(raw, y * 3).sum().backward()
    assert raw.grad is not None and torch.isfinite(raw.grad).all()
