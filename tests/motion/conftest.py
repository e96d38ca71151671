"""Modules with random parameters, for properties that must hold after any training."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


def shaken(module: torch.nn.Module, scale: float = 0.5) -> torch.nn.Module:
    """Return the module in float64 with random parameters, so that nothing is the identity."""
    generator = torch.Generator().manual_seed(0)
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * scale)
    return module


@pytest.fixture(name="shaken")
def shaken_fixture() -> Callable[..., torch.nn.Module]:
    """The function `shaken`."""
    return shaken
