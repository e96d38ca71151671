"""Volume rendering against samples computed by hand, plain loops and statistics."""

from __future__ import annotations

import math

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from omnitrack.motion.rendering import (
    accumulate,
    alphas_from_density,
    distortion,
    even_depths,
    stratified_depths,
    weight_in_front,
    weights_from_alphas,
)

CPU = torch.device("cpu")


def random_alphas(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_alphas_by_hand() -> None:
    density = torch.tensor([0.0, math.log(2.0), math.log(10.0), 200.0])
    torch.testing.assert_close(alphas_from_density(density), torch.tensor([0.0, 0.5, 0.9, 1.0]))


def test_weights_of_five_samples_by_hand() -> None:
    alphas = torch.tensor([[0.5, 0.2, 0.0, 0.75, 0.1], [0.0, 0.0, 0.25, 1.0, 0.5]])
    # transmittance before each sample: 1, 0.5, 0.4, 0.4, 0.1 and 1, 1, 1, 0.75, 0
    expected = torch.tensor([[0.5, 0.1, 0.0, 0.3, 0.01], [0.0, 0.0, 0.25, 0.75, 0.0]])
    torch.testing.assert_close(weights_from_alphas(alphas), expected)


def test_weights_sum_to_what_does_not_pass_the_ray() -> None:
    alphas = random_alphas(50, 12)
    weights = weights_from_alphas(alphas)
    passed = [math.prod(1 - a for a in ray) for ray in alphas.tolist()]
    torch.testing.assert_close(weights.sum(-1), 1 - torch.tensor(passed, dtype=torch.float64), rtol=0, atol=1e-8)
    assert (weights >= 0).all()
    assert (weights.sum(-1) <= 1 + 1e-8).all()


def test_an_opaque_first_sample_takes_all() -> None:
    weights = weights_from_alphas(torch.tensor([1.0, 1.0, 0.3]))
    torch.testing.assert_close(weights, torch.tensor([1.0, 0.0, 0.0]), rtol=0, atol=1e-9)


def test_a_single_sample_weighs_its_opacity() -> None:
    assert weights_from_alphas(torch.tensor([0.25])).tolist() == [0.25]


def test_gradients_of_transparent_to_opaque_densities() -> None:
    density = random_alphas(3, 5) * 2
    density[0, 2] = 60.0  # opaque: exp(-60) is negligible
    density[1, 0] = 1e-3
    inputs = (density.requires_grad_(),)
    assert torch.autograd.gradcheck(alphas_from_density, inputs)
    assert torch.autograd.gradcheck(lambda d: weights_from_alphas(alphas_from_density(d)), inputs)


def test_slopes_of_weights_before_at_and_behind_an_opaque_sample() -> None:
    """d w_k / d alpha_m is the light before k for m = k, minus alpha_k times it without the factor of m for m < k."""
    alphas = [0.3, 0.6, 1.0, 0.5, 0.2]
    expected = torch.zeros(5, 5, dtype=torch.float64)
    for k in range(5):
        expected[k, k] = math.prod(1 - alphas[m] for m in range(k))
        for m in range(k):
            expected[k, m] = -alphas[k] * math.prod(1 - alphas[other] for other in range(k) if other != m)
    assert expected[3, 2].item() == pytest.approx(-0.14)  # less light would reach what lies behind
    slopes = torch.autograd.functional.jacobian(weights_from_alphas, torch.tensor(alphas, dtype=torch.float64))
    torch.testing.assert_close(slopes, expected, rtol=0, atol=1e-8)


def test_gradients_stay_finite_when_every_sample_is_opaque() -> None:
    alphas = torch.ones(2, 32, requires_grad=True)
    (weights_from_alphas(alphas) * torch.arange(32.0)).sum().backward()
    assert alphas.grad is not None
    assert torch.isfinite(alphas.grad).all()


def test_the_gradient_of_weights_asks_nothing_of_the_host() -> None:
    alphas = torch.full((4, 8), 0.3, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        (weights_from_alphas(alphas) * torch.arange(8.0)).sum().backward()
    operators = {event.key for event in profiled.key_averages()}
    assert "aten::sum" in operators
    assert "aten::_local_scalar_dense" not in operators


def test_accumulate_by_hand() -> None:
    weights = torch.tensor([0.5, 0.25])
    values = torch.tensor([[4.0, 0.0], [8.0, 2.0]])
    torch.testing.assert_close(accumulate(weights, values), torch.tensor([4.0, 0.5]))
    torch.testing.assert_close(accumulate(weights, values, normalise=True), torch.tensor([16 / 3, 2 / 3]))


def test_a_ray_that_meets_nothing_has_value_zero() -> None:
    for normalise in (False, True):
        assert accumulate(torch.zeros(1, 3), torch.ones(1, 3, 2), normalise).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("normalise", [False, True])
def test_accumulate_gradients(normalise: bool) -> None:
    values = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = (random_alphas(2, 3).requires_grad_(), values.requires_grad_())
    assert torch.autograd.gradcheck(lambda w, v: accumulate(w, v, normalise), inputs)


def test_even_depths_include_both_ends() -> None:
    torch.testing.assert_close(even_depths(0.0, 2.0, 5, CPU), torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0]))


def test_stratified_depths_stay_between_the_middles_of_even_ones() -> None:
    depths = stratified_depths(4000, 1.0, 3.0, 5, torch.Generator().manual_seed(0))
    # even depths are 1, 1.5, 2, 2.5, 3
    low, high = torch.tensor([1.0, 1.25, 1.75, 2.25, 2.75]), torch.tensor([1.25, 1.75, 2.25, 2.75, 3.0])
    assert depths.shape == (4000, 5)
    assert (depths >= low).all()
    assert (depths <= high).all()
    assert (depths.diff(dim=1) >= 0).all()


def test_stratified_depths_are_uniform_and_independent() -> None:
    depths = stratified_depths(4000, 1.0, 3.0, 5, torch.Generator().manual_seed(0))
    low, length = torch.tensor([1.0, 1.25, 1.75, 2.25, 2.75]), torch.tensor([0.25, 0.5, 0.5, 0.5, 0.25])
    share = (depths - low) / length
    deviation = math.sqrt(1 / 12 / 4000)  # of the mean of 4000 uniform numbers
    assert ((share.mean(0) - 0.5).abs() < 4 * deviation).all()
    quartiles = torch.stack([(share < q).float().mean(0) for q in (0.25, 0.5, 0.75)])
    torch.testing.assert_close(quartiles, torch.tensor([[0.25], [0.5], [0.75]]).expand(3, 5), rtol=0, atol=0.035)
    between = torch.corrcoef(share.T) - torch.eye(5)
    assert between.abs().max() < 4 / math.sqrt(4000)


def test_the_generator_alone_decides_stratified_depths() -> None:
    def draw(seed: int, elsewhere: int) -> torch.Tensor:
        torch.manual_seed(elsewhere)
        return stratified_depths(3, 0.0, 2.0, 4, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(5, elsewhere=0), draw(5, elsewhere=1))
    assert not torch.equal(draw(5, elsewhere=0), draw(6, elsewhere=0))


def test_distortion_of_two_samples_by_hand() -> None:
    # intervals [0, 1] and [1, 1]: middles 0.5 and 1, so 2 * 0.5 * 0.25 * 0.5 between and 0.5^2 * 1 / 3 within
    value = distortion(torch.tensor([0.5, 0.25]), torch.tensor([0.0, 1.0]))
    assert value.item() == pytest.approx(0.125 + 1 / 12)


def test_distortion_of_three_samples_by_hand() -> None:
    # intervals [0, 1], [1, 3], [3, 3]: middles 0.5, 2, 3
    value = distortion(torch.tensor([0.2, 0.5, 0.3]), torch.tensor([0.0, 1.0, 3.0]))
    between = 2 * (0.2 * 0.5 * 1.5 + 0.2 * 0.3 * 2.5 + 0.5 * 0.3 * 1.0)
    within = (0.2**2 * 1 + 0.5**2 * 2) / 3
    assert value.item() == pytest.approx(between + within)


def test_a_single_sample_has_no_distortion() -> None:
    assert distortion(torch.tensor([[0.9]]), torch.tensor([[1.3]])).tolist() == [0.0]


def test_distortion_agrees_with_a_double_loop() -> None:
    weights, depths = random_alphas(4, 9), random_alphas(4, 9).flip(0).sort(-1).values
    expected = []
    for w, t in zip(weights.tolist(), depths.tolist(), strict=True):
        t = [*t, t[-1]]
        middles = [(t[k] + t[k + 1]) / 2 for k in range(9)]
        between = sum(w[k] * w[m] * abs(middles[k] - middles[m]) for k in range(9) for m in range(9))
        expected.append(between + sum(w[k] ** 2 * (t[k + 1] - t[k]) for k in range(9)) / 3)
    torch.testing.assert_close(distortion(weights, depths), torch.tensor(expected, dtype=torch.float64))


def test_distortion_gradients() -> None:
    depths = torch.tensor([[0.1, 0.4, 0.5, 1.7], [0.0, 0.3, 1.0, 1.1]], dtype=torch.float64)
    assert torch.autograd.gradcheck(distortion, (random_alphas(2, 4).requires_grad_(), depths.requires_grad_()))


def test_weight_in_front_by_hand() -> None:
    weights = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]])
    depths = torch.tensor([0.0, 1.0, 2.0]).expand(3, -1)
    in_front = weight_in_front(weights, depths, torch.tensor([1.5, 1.0, -1.0]))
    torch.testing.assert_close(in_front, torch.tensor([0.3, 0.1, 0.0]))
