"""The published steps that benchmarks time match the papers: their operations are those that the networks need."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.append(str(Path(__file__).parent / "benchmarks"))
import published_cadex
import published_omnimotion


def gflop(job: object) -> float:
    with FlopCounterMode(display=False) as counter:
        job()  # type: ignore[operator]
    return counter.get_total_flops() / 1e9


def test_cadex_costs_what_its_network_says() -> None:
    """8,120 products per point and layer; six layers, both ways; backward twice as many, except for the first input."""
    peer = published_cadex.PublishedCadex(24, (64, 48), share=96)
    batch = peer.draw()
    points = 1024 + 4
    forward = 2 * 8120 * 6 * 2 * points / 1e9
    assert gflop(lambda: peer.step(batch)) == pytest.approx(3 * forward, rel=0.01)


def test_omnimotion_costs_what_its_networks_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1.407 M products per mapped point, three mappings per sample, and 0.801 M for the volume."""
    monkeypatch.setattr(published_omnimotion, "POINTS", 16)
    monkeypatch.setattr(published_omnimotion, "SMOOTH", 4)
    torch.manual_seed(0)
    peer = published_omnimotion.PublishedOmniMotion(6, (64, 48), 8, tmp_path)
    batch = peer.draw()
    while not 0 < int(batch.first) < 5:  # a frame with two neighbours, for the smoothness of motion
        batch = peer.draw()
    samples = 16 * 32
    forward = 2 * (3 * 1.407e6 + 0.801e6) * samples / 1e9
    assert gflop(lambda: peer.step(batch)) == pytest.approx(3 * forward, rel=0.03)


def test_the_map_of_cadex_starts_as_the_identity_and_has_its_gradient() -> None:
    half = torch.full((5, 10), 0.5, dtype=torch.float64)
    q = torch.tensor([-3.0, -0.7, 0.1, 0.8, 4.0], dtype=torch.float64)
    x, y = published_cadex.knots(half)
    torch.testing.assert_close(published_cadex.PiecewiseLinear.apply(x, y, q), q)
    numbers = torch.rand(5, 10, dtype=torch.float64).clamp_min(0.1).requires_grad_()
    inner = torch.linspace(-1, 1, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda n, q: published_cadex.PiecewiseLinear.apply(*published_cadex.knots(n), q), (numbers, inner), atol=1e-3
    )


def test_steps_bring_the_loss_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_omnimotion, "POINTS", 4)
    monkeypatch.setattr(published_omnimotion, "SMOOTH", 1)
    torch.manual_seed(0)
    peers = (
        published_cadex.PublishedCadex(24, (64, 48), share=96),
        published_omnimotion.PublishedOmniMotion(6, (64, 48), 8, tmp_path),
    )
    for peer in peers:
        batch = peer.draw()
        losses = [peer.step(batch) for _ in range(6)]  # type: ignore[arg-type]
        assert losses[-1] < losses[0]
