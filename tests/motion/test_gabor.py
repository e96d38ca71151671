"""Gabor networks against their formulas written out, and the initial distributions of their parameters."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from omnitrack.motion.gabor import GaborFilters, GaborNetwork


def formula(filters: GaborFilters, x: np.ndarray) -> np.ndarray:
    """sin(W x + b) exp(-gamma |x - mu|^2 / 2), one number at a time."""
    mu, gamma, weight, bias = (
        p.detach().numpy() for p in (filters.mu, filters.gamma, filters.linear.weight, filters.linear.bias)
    )
    responses = np.empty((len(x), len(mu)))
    for p in range(len(x)):
        for unit in range(len(mu)):
            apart = sum((x[p, c] - mu[unit, c]) ** 2 for c in range(x.shape[1]))
            wave = math.sin(sum(weight[unit, c] * x[p, c] for c in range(x.shape[1])) + bias[unit])
            responses[p, unit] = wave * math.exp(-gamma[unit] * apart / 2)
    return responses


def places(count: int, dimensions: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, dimensions, generator=generator, dtype=torch.float64) * 2 - 1


def test_filter_by_hand() -> None:
    filters = GaborFilters(1, 2, scale=1.0, alpha=1.0).double()
    with torch.no_grad():
        filters.mu.copy_(torch.tensor([[0.5], [-1.0]]))
        filters.gamma.copy_(torch.tensor([8.0, 2.0]))
        filters.linear.weight.copy_(torch.tensor([[0.0], [math.pi]]))
        filters.linear.bias.copy_(torch.tensor([math.pi / 2, 0.0]))
    # sin(pi / 2) exp(-4 |1 - 0.5|^2) and sin(0.5 pi) exp(-|0.5 + 1|^2)
    response = filters(torch.tensor([[1.0], [0.5]], dtype=torch.float64))
    assert response[0, 0].item() == pytest.approx(math.exp(-1.0))
    assert response[1, 1].item() == pytest.approx(math.exp(-2.25))


@pytest.mark.parametrize("dimensions", [1, 3])
def test_filters_agree_with_the_formula(dimensions: int) -> None:
    torch.manual_seed(0)
    filters = GaborFilters(dimensions, 5, scale=10.0, alpha=2.0).double()
    x = places(7, dimensions)
    np.testing.assert_allclose(filters(x).detach().numpy(), formula(filters, x.numpy()), rtol=0, atol=1e-12)


def test_network_agrees_with_the_recurrence() -> None:
    torch.manual_seed(1)
    network = GaborNetwork(3, 6, 2, 4, alpha=3.0, scale=8.0).double()
    x = places(9, 3)
    z = formula(network.filters[0], x.numpy())
    for filters, linear in zip(list(network.filters)[1:], network.linears, strict=True):
        weight, bias = linear.weight.detach().numpy(), linear.bias.detach().numpy()
        z = formula(filters, x.numpy()) * (z @ weight.T + bias)
    expected = z @ network.out.weight.detach().numpy().T + network.out.bias.detach().numpy()
    assert expected.shape == (9, 4)
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=0, atol=1e-12)


def test_gradients_of_places_and_parameters() -> None:
    torch.manual_seed(2)
    network = GaborNetwork(2, 3, 2, 2, alpha=3.0, scale=4.0).double()
    x = places(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: network(x), (x, *network.parameters()))


def test_there_is_one_more_layer_of_filters_than_of_linears() -> None:
    network = GaborNetwork(3, 4, 3, 4, alpha=3.0)
    assert len(network.filters) == 4
    assert len(network.linears) == 3


def test_filters_start_from_the_published_distributions() -> None:
    torch.manual_seed(3)
    hidden, dimensions = 4000, 3
    filters = GaborFilters(dimensions, hidden, scale=128.0, alpha=0.75)
    assert filters.mu.abs().max() <= 1
    assert filters.mu.mean().item() == pytest.approx(0, abs=0.03)
    assert filters.mu.var().item() == pytest.approx(1 / 3, rel=0.05)
    assert filters.gamma.mean().item() == pytest.approx(0.75, rel=0.1)  # Gamma(a, 1) has mean a and variance a
    assert filters.gamma.var().item() == pytest.approx(0.75, rel=0.2)
    per_unit = filters.linear.weight / (128 * filters.gamma[:, None].sqrt())
    assert per_unit.abs().max().item() == pytest.approx(1 / math.sqrt(3), rel=1e-3)
    assert per_unit.var().item() == pytest.approx(1 / 9, rel=0.05)  # of the uniform distribution up to 1 / sqrt(3)
    assert filters.linear.bias.abs().max().item() == pytest.approx(math.pi, rel=1e-2)
    assert filters.linear.bias.var().item() == pytest.approx(math.pi**2 / 3, rel=0.1)


def test_four_layers_of_filters_have_a_quarter_of_alpha_and_half_of_the_scale() -> None:
    torch.manual_seed(4)
    network = GaborNetwork(1, 1000, 3, 1, alpha=3.0, scale=256.0)
    for filters in network.filters:
        assert filters.gamma.mean().item() == pytest.approx(0.75, rel=0.15)
        per_unit = filters.linear.weight / filters.gamma[:, None].sqrt()
        assert per_unit.abs().max().item() == pytest.approx(256 / 2, rel=0.01)
    for linear in network.linears:
        assert linear.weight.abs().max().item() == pytest.approx(1 / math.sqrt(1000), rel=0.01)
