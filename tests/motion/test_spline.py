"""The monotone spline against hand computation, its inverse and its gradients."""

from __future__ import annotations

import math

import pytest
import torch

from omnitrack.motion.spline import NUM_PARAMETERS, Spline, evaluate, invert, spline_from_parameters


def random_parameters(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(count, NUM_PARAMETERS, generator=generator, dtype=torch.float64) * 3


@pytest.fixture
def bent() -> Spline:
    """Knots (-2, -1), (0, 0), (1, 3), (2, 4); slope 0.5 left of them and 2 right."""
    return Spline(
        x=torch.tensor([-2.0, 0.0, 1.0, 2.0]),
        y=torch.tensor([-1.0, 0.0, 3.0, 4.0]),
        left=torch.tensor(0.5),
        right=torch.tensor(2.0),
    )


@pytest.mark.parametrize(
    ("x", "y"), [(-4, -2), (-2, -1), (-1, -0.5), (0, 0), (0.5, 1.5), (1, 3), (1.5, 3.5), (2, 4), (3, 6)]
)
def test_values_by_hand(bent: Spline, x: float, y: float) -> None:
    assert evaluate(bent, torch.tensor(float(x))).item() == pytest.approx(y)
    assert invert(bent, torch.tensor(float(y))).item() == pytest.approx(x)


def test_zeros_are_the_identity() -> None:
    x = torch.linspace(-5, 5, 41, dtype=torch.float64)
    spline = spline_from_parameters(torch.zeros(41, NUM_PARAMETERS, dtype=torch.float64))
    torch.testing.assert_close(evaluate(spline, x), x, rtol=0, atol=1e-14)
    torch.testing.assert_close(spline.x[0], torch.tensor([-1.0, -0.5, 0.5, 1.0], dtype=torch.float64))


def test_parameters_are_widths_and_slopes() -> None:
    raw = torch.zeros(NUM_PARAMETERS, dtype=torch.float64)
    raw[1], raw[8] = math.log(3.0), -math.log(3.0)  # sigmoid 3/4 and 1/4
    spline = spline_from_parameters(raw)
    inner, slope = 0.025 + 0.95 * 0.75, 2 * (0.025 + 0.95 * 0.25)
    torch.testing.assert_close(spline.x, torch.tensor([-inner - 0.5, -inner, 0.5, 1.0], dtype=torch.float64))
    assert spline.left.item() == pytest.approx(slope)


def test_inverse_round_trip_and_monotone() -> None:
    spline = spline_from_parameters(random_parameters(200)[:, None, :].expand(-1, 101, -1))
    x = torch.linspace(-4, 4, 101, dtype=torch.float64).expand(200, -1)
    y = evaluate(spline, x)
    assert (y.diff(dim=-1) > 0).all()
    torch.testing.assert_close(invert(spline, y), x, rtol=0, atol=1e-11)


@pytest.mark.parametrize("function", [evaluate, invert])
def test_gradients(function) -> None:
    raw = random_parameters(12).requires_grad_()
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda r, q: function(spline_from_parameters(r), q), (raw, x))


def test_slopes_stay_finite_at_the_extremes() -> None:
    raw = torch.tensor([[-60.0, 60.0] * 5, [60.0, -60.0] * 5])
    spline = spline_from_parameters(raw)
    x = torch.tensor([0.3, -0.7])
    assert torch.isfinite(evaluate(spline, x)).all()
    torch.testing.assert_close(invert(spline, evaluate(spline, x)), x, rtol=0, atol=1e-4)
