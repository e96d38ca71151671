"""Multiplicative filter networks with Gabor filters: smooth functions with fine detail.

    g_k(x) = sin(W_k x + b_k) exp(-gamma_k |x - mu_k|^2 / 2)
    z_0 = g_0(x),  z_k = g_k(x) (A_k z_{k-1} + c_k),  out = A_out z_L + c_out

Source:
    Fathony et al., "Multiplicative Filter Networks", ICLR 2021; used by OmniMotion (ICCV 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class GaborFilters(nn.Module):
    """One layer of Gabor filters.

    Args:
        dimensions: Number of input coordinates.
        hidden: Number of filters.
        scale: Scale of the frequencies.
        alpha: Shape of the Gamma distribution that the widths gamma are drawn from.
    """

    def __init__(self, dimensions: int, hidden: int, scale: float, alpha: float) -> None:
        super().__init__()
        self.mu = nn.Parameter(2 * torch.rand(hidden, dimensions) - 1)
        self.gamma = nn.Parameter(torch.distributions.Gamma(alpha, 1.0).sample((hidden,)))
        self.linear = nn.Linear(dimensions, hidden)
        with torch.no_grad():
            self.linear.weight *= scale * self.gamma[:, None].sqrt()
            self.linear.bias.uniform_(-math.pi, math.pi)

    def forward(self, x: Tensor) -> Tensor:
        """Responses (P, hidden) at points (P, dimensions)."""
        squared = (x**2).sum(-1, keepdim=True) + (self.mu**2).sum(-1) - 2 * x @ self.mu.T
        return torch.sin(self.linear(x)) * torch.exp(-0.5 * self.gamma * squared)


class GaborNetwork(nn.Module):
    """A Gabor network by the formulas of this module.

    Args:
        dimensions: Number of input coordinates.
        hidden: Width of the layers.
        num_layers: L.
        outputs: Width of the output.
        alpha: Shape of the Gamma distribution; each of the L + 1 filter layers gets alpha / (L + 1).
        scale: Scale of the frequencies; each of the L + 1 filter layers gets scale / sqrt(L + 1).
    """

    def __init__(
        self, dimensions: int, hidden: int, num_layers: int, outputs: int, alpha: float, scale: float = 256.0
    ) -> None:
        super().__init__()
        count = num_layers + 1
        self.filters = nn.ModuleList(
            GaborFilters(dimensions, hidden, scale / math.sqrt(count), alpha / count) for _ in range(count)
        )
        self.linears = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(num_layers))
        for linear in self.linears:
            nn.init.uniform_(linear.weight, -math.sqrt(1 / hidden), math.sqrt(1 / hidden))  # type: ignore[arg-type]
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs (P, outputs) at points (P, dimensions)."""
        z = self.filters[0](x)
        for response, linear in zip(self.filters[1:], self.linears, strict=True):
            z = response(x) * linear(z)
        result: Tensor = self.out(z)
        return result
