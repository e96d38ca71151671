"""Adam against torch's own class: the same steps and moments, and saved states that go both ways."""

from __future__ import annotations

import torch
from torch import Tensor

from omnitrack.optimize.adam import FIRST_MOMENT, Adam

STEPS = 20


def parameters() -> list[Tensor]:
    random = torch.Generator().manual_seed(0)
    return [torch.randn(size, generator=random).requires_grad_() for size in ((3, 4), (5,), (2,))]


def give_gradients(given: list[Tensor], step: int) -> None:
    """Gradients of a step; the last parameter has none in every other step."""
    random = torch.Generator().manual_seed(step)
    for number, parameter in enumerate(given):
        gradient = torch.randn(parameter.shape, generator=random)
        parameter.grad = None if number == 2 and step % 2 else gradient


def test_steps_and_moments_are_those_of_torch_to_the_bit() -> None:
    own, theirs = parameters(), parameters()
    rates = [torch.tensor(0.1), torch.tensor(0.02)]
    ours = Adam([(own[:1], rates[0]), (own[1:], rates[1])], STEPS)
    reference = torch.optim.Adam(
        [{"params": theirs[:1], "lr": 0.1}, {"params": theirs[1:], "lr": 0.02}],
        betas=(FIRST_MOMENT, 1 - 1 / STEPS),
        fused=True,
    )
    for step in range(6):
        for given, optimizer in ((own, ours), (theirs, reference)):
            optimizer.zero_grad()
            give_gradients(given, step)
            optimizer.step()
        rates[1].fill_(0.01)  # rates may change between steps
        reference.param_groups[1]["lr"] = 0.01
    for a, b in zip(own, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    saved, expected = ours.state_dict([0.1, 0.01]), reference.state_dict()
    assert saved["state"].keys() == expected["state"].keys()
    for number, moments in expected["state"].items():
        for name, moment in moments.items():
            torch.testing.assert_close(saved["state"][number][name], moment, rtol=0, atol=0)
    for group, like in zip(saved["param_groups"], expected["param_groups"], strict=True):
        assert group == {key: like[key] for key in group}


def test_gradients_are_forgotten() -> None:
    own = parameters()
    optimizer = Adam([(own, torch.tensor(0.1))], STEPS)
    give_gradients(own, 0)
    optimizer.zero_grad()
    before = [parameter.detach().clone() for parameter in own]
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(own, before, strict=True))
