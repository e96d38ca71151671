"""RAFT's network against a plain version of it, its correlations, and its independence of batches and memory."""

from __future__ import annotations

import copy

import plain_raft
import pytest
import torch

from omnitrack.correspondence.raft.correlation import Correlation, pair_bytes
from omnitrack.correspondence.raft.network import LARGE, SMALL, Architecture, EncodedFrames, RaftNetwork

pytestmark = pytest.mark.usefixtures("no_gradients")

ENOUGH = 1e12  # bytes


@pytest.fixture
def no_gradients() -> object:
    with torch.inference_mode():
        yield


def random_network(architecture: Architecture, seed: int = 0) -> RaftNetwork:
    """Return a network whose flow is some cells long: random parameters, including the statistics of normalisation."""
    torch.manual_seed(seed)
    network = RaftNetwork(architecture).eval()
    for name, value in network.state_dict().items():
        if name.endswith(("running_var", "norm.weight")):
            value.uniform_(0.5, 2)
        elif name.endswith(("running_mean", "norm.bias")):
            value.normal_(0, 0.3)
    network.head.second.weight *= 20
    return network


def run(network: RaftNetwork, frames: torch.Tensor, iterations: int, memory: float = ENOUGH) -> torch.Tensor:
    """Return (B, 2, H, W) flow from the first half of the frames to the second."""
    sources = network.encode(frames[: len(frames) // 2])
    targets = network.encode(frames[len(frames) // 2 :]).features
    correlation = Correlation(sources.features, targets, network.architecture.radius, memory)
    start = torch.zeros(len(frames) // 2, 2, *targets.shape[2:])
    return network.iterate(sources, correlation, start, iterations)


@pytest.mark.parametrize("architecture", [SMALL, LARGE], ids=["small", "large"])
def test_the_network_is_the_plain_one(architecture: Architecture) -> None:
    network = random_network(architecture)
    parameters = {name: value.clone() for name, value in network.state_dict().items()}
    first, second = torch.rand(2, 1, 3, 136, 168) * 2 - 1
    expected = plain_raft.flow(parameters, first, second, 3, architecture.radius, architecture.hidden)
    assert expected.std() > 4  # pixels: windows leave their first cells, and some leave the image
    found = run(network.prepare(), torch.cat([first, second]), 3)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3)


def test_half_precision_is_near() -> None:
    network = random_network(SMALL)
    frames = torch.rand(2, 3, 128, 136) * 2 - 1
    exact = run(copy.deepcopy(network).prepare(), frames, 2)
    near = run(network.prepare(torch.bfloat16), frames, 2)
    # bfloat16 has 8 bits: each of some twenty roundings in a row changes a value by up to 0.4 per cent.
    assert (near - exact).abs().mean() < 0.04 * exact.abs().mean()
    assert (near - exact).abs().max() > 0


def test_a_pair_does_not_depend_on_its_batch() -> None:
    network = random_network(SMALL).prepare()
    frames = torch.rand(6, 3, 128, 144) * 2 - 1
    together = run(network, frames, 3)
    for pair in range(3):
        alone = run(network, frames[[pair, pair + 3]], 3)
        torch.testing.assert_close(together[pair : pair + 1], alone, rtol=0, atol=1e-3)


def columns(correlations: torch.Tensor) -> torch.Tensor:
    """Return the correlations within a radius of 3, without the unused column."""
    return correlations.unflatten(1, (-1, 8))[:, :, :7]


@pytest.mark.parametrize("rows", [1, 7, 200], ids="{} rows at a time".format)
def test_correlations_do_not_depend_on_the_memory(rows: int) -> None:
    torch.manual_seed(0)
    source, target = torch.randn(2, 1, 16, 17, 21)
    flow = torch.randn(1, 2, 17, 21) * 6
    whole = Correlation(source, target, 3, ENOUGH).around(flow)
    row_bytes = pair_bytes(17, 21, 3, torch.float32) / (17 * 21)
    pieces = Correlation(source, target, 3, rows * row_bytes).around(flow)
    torch.testing.assert_close(columns(pieces), columns(whole), rtol=0, atol=1e-5)


def test_the_memory_of_correlations_is_bounded() -> None:
    torch.manual_seed(0)
    source, target = torch.randn(2, 1, 4, 32, 40)
    limit = pair_bytes(32, 40, 3, torch.float32) / 10
    correlation = Correlation(source, target, 3, limit)
    largest = 0
    inner = correlation._values

    def spy(rows: slice) -> torch.Tensor:
        nonlocal largest
        values = inner(rows)
        largest = max(largest, values.nbytes)
        return values

    correlation._values = spy  # type: ignore[method-assign]
    correlation.around(torch.zeros(1, 2, 32, 40))
    assert 0 < largest <= limit


def test_a_correlation_by_hand() -> None:
    """One source cell, one channel: a target with a single bright cell, viewed from half a cell to its left."""
    source = torch.ones(1, 1, 8, 8)
    target = torch.zeros(1, 1, 8, 8)
    target[0, 0, 4, 5] = 2
    flow = torch.zeros(1, 2, 8, 8)
    flow[0, :, 4, 4] = torch.tensor([0.5, 0.0])  # to x = 4.5, y = 4
    level = Correlation(source, target, 1, ENOUGH).around(flow)[0, :12, 4, 4].view(3, 4)[:, :3]
    # x = 3.5, 4.5, 5.5: half of the bright cell is read at the last two, in the middle row.
    torch.testing.assert_close(level, torch.tensor([[0, 0, 0], [0, 1.0, 1.0], [0, 0, 0]]))


@pytest.mark.parametrize("far", [1e3, -1e3, 1e30], ids=str)
def test_outside_the_image_nothing_correlates(far: float) -> None:
    features = torch.ones(1, 2, 9, 10)
    read = Correlation(features, features, 3, ENOUGH).around(torch.full((1, 2, 9, 10), far))
    assert not columns(read).any() and torch.isfinite(read).all()


def test_frames_are_joined_and_taken_apart() -> None:
    network = random_network(LARGE).prepare()
    frames = torch.rand(2, 3, 128, 128) * 2 - 1
    both = network.encode(frames)
    again = EncodedFrames.join([both.at(0), both.at(1)])
    assert torch.equal(again.features, both.features) and torch.equal(again.hidden, both.hidden)
    assert len(again.terms) == 2 and all(torch.equal(a, b) for a, b in zip(again.terms, both.terms, strict=True))
