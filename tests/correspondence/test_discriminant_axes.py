"""Axes that distinguish places: against their definition, in known noise, and without anything to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitrack.correspondence.descriptors.discriminant_axes import LEAST_CHANGE, Views, discriminant_axes

CHANNELS, PLACES = 12, 4000
CHANGES = torch.linspace(0.05, 2.0, CHANNELS)  # of a place, along each channel


def views(seed: int, changes: Tensor = CHANGES, seen: float = 0.7) -> Views:
    random = torch.Generator().manual_seed(seed)
    place = torch.randn(PLACES, CHANNELS, generator=random)
    first, second = (place + changes * torch.randn(PLACES, CHANNELS, generator=random) for _ in range(2))
    again = np.random.default_rng(seed).random(PLACES) < seen
    return first, again, second[torch.from_numpy(again)]


def test_what_changes_least_comes_first_and_all_changes_are_as_large() -> None:
    axes = discriminant_axes([views(0), views(1)], 5)
    assert axes.shape == (CHANNELS, 5) and axes.dtype == torch.float32
    assert axes.abs().argmax(0).tolist() == [0, 1, 2, 3, 4]
    first, seen, second = views(2)
    change = (first[torch.from_numpy(seen)] - second) @ axes / 2**0.5
    least = LEAST_CHANGE * (1 + CHANGES.square().mean())  # is added to the change of every channel
    wanted = CHANGES[:5] / (CHANGES[:5].square() + least).sqrt()
    assert torch.allclose(change.std(0), wanted, atol=0.05)


def test_they_solve_the_generalised_eigenproblem() -> None:
    axes = discriminant_axes([views(0)], CHANNELS).double()
    first, seen, second = (torch.as_tensor(part).double() for part in views(0))
    between = torch.cov(first.T, correction=0)
    change = first[seen.bool()] - second
    within = change.T @ change / 2 / len(change)
    within += LEAST_CHANGE * between.trace() / CHANNELS * torch.eye(CHANNELS)
    assert torch.allclose(axes.T @ within @ axes, torch.eye(CHANNELS, dtype=torch.float64), atol=1e-5)
    ratios = axes.T @ between @ axes
    assert torch.allclose(ratios, ratios.diagonal().diag(), atol=1e-3 * float(ratios.max()))
    assert (ratios.diagonal().diff() < 0).all()


def test_nearest_places_are_found_better_than_along_principal_axes() -> None:
    """Channels that differ most between places are the least reliable ones here."""
    loud = views(3, 4 * CHANGES)
    first, seen, second = loud
    there = first[torch.from_numpy(seen)]

    def recognised(axes: Tensor) -> float:
        distances = torch.cdist(there[:300] @ axes, second[:300] @ axes)
        return float((distances.argmin(1) == torch.arange(300)).float().mean())

    principal = torch.linalg.eigh(first.T @ first).eigenvectors.flip(1)[:, :4]
    assert recognised(discriminant_axes([loud], 4)) > 2 * recognised(principal)


@pytest.mark.parametrize("places", [PLACES, 0])
def test_where_nothing_is_seen_twice_they_are_the_principal_axes(places: int) -> None:
    first, _, _ = views(4)
    first = first[:places] * torch.linspace(2, 1, CHANNELS)
    nothing = np.zeros(places, bool)
    axes = discriminant_axes([(first, nothing, first[:0])], 3)
    assert torch.isfinite(axes).all() and axes.shape == (CHANNELS, 3)
    if places:
        principal = torch.linalg.eigh(torch.cov(first.T)).eigenvectors.flip(1)[:, :3]
        cosines = (torch.nn.functional.normalize(axes, dim=0) * principal).sum(0).abs()
        assert torch.allclose(cosines, torch.ones(3), atol=1e-4)


def test_what_all_places_have_in_common_distinguishes_nothing() -> None:
    first, seen, second = views(5)
    common = torch.full((CHANNELS,), 10.0)
    alone, shared = (discriminant_axes([(first + add, seen, second + add)], 5) for add in (0 * common, common))
    assert torch.allclose(alone, shared, atol=1e-3)


def test_blank_frames_teach_nothing_and_overflow_nothing() -> None:
    blank = torch.zeros(PLACES, CHANNELS)
    axes = discriminant_axes([(blank, np.ones(PLACES, bool), blank)], 3)
    assert torch.isfinite(axes).all() and 1 < axes.norm(dim=0).max() < 1e4
