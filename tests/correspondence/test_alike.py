"""ALIKE's network compared with its plain form, its published files, and invalid files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from shared_data import WEIGHTS, needs
from torch import Tensor

from omnitrack.correspondence.descriptors.alike import PUBLISHED, AlikeDescriber, AlikeNetwork, load_alike
from omnitrack.errors import OmnitrackError
from omnitrack.weights import identity

REAL = WEIGHTS / "alike-n.pth"
# Entries of the published file of ALIKE-n, copied from it.
PUBLISHED_SHAPES = {
    "block1.conv2.weight": (16, 16, 3, 3),
    "block1.bn2.running_var": (16,),
    "block2.downsample.bias": (32,),
    "block4.conv1.weight": (128, 64, 3, 3),
    "conv3.weight": (32, 64, 1, 1),
    "convhead2.weight": (129, 128, 1, 1),
}


def random_network(seed: int = 0) -> AlikeNetwork:
    torch.manual_seed(seed)
    network = AlikeNetwork((4, 8, 8, 12), 16).eval().requires_grad_(False)
    for name, value in network.state_dict().items():  # as in a trained network: nothing is 0 or 1
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif "bn" in name and value.is_floating_point():
            value.normal_(0.2, 0.5)
    return network


def plain(network: AlikeNetwork, image: Tensor) -> Tensor:
    """As the authors compute it: everything is upsampled, then one layer returns descriptors and scores."""
    parts, values = [], image
    for block, shrink in ((1, 1), (2, 2), (3, 4), (4, 4)):
        values = getattr(network, f"block{block}")(F.avg_pool2d(values, shrink))
        part = F.relu(getattr(network, f"conv{block}")(values))
        parts.append(F.interpolate(part, size=image.shape[2:], mode="bilinear", align_corners=True))
    return network.convhead2(torch.cat(parts, 1))[:, :-1]


def test_the_last_layer_before_enlarging_changes_nothing() -> None:
    network, image = random_network().double(), torch.rand(2, 3, 64, 96, dtype=torch.float64)
    found = network(image)
    assert found.shape == (2, 16, 64, 96) and found.std() > 0.01
    assert torch.allclose(found, plain(network, image), atol=1e-12)


def test_a_projection_is_as_if_applied_afterwards() -> None:
    network, image = random_network().double(), torch.rand(1, 3, 32, 64, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(16, 5, dtype=torch.float64))[0]
    afterwards = torch.einsum("bchw,cd->bdhw", network(image), axes)
    assert torch.allclose(network(image, axes), afterwards, atol=1e-12)


def test_pixels_are_described_as_in_the_map() -> None:
    network, image = random_network(), torch.rand(1, 3, 32, 64)
    describe, cells = AlikeDescriber(network), torch.tensor([(0, 0), (63, 31), (5, 20)])
    axes = torch.eye(16)
    every = describe(image, axes)
    assert torch.allclose(describe.at(image, cells), every[:, cells[:, 1], cells[:, 0]].T, atol=1e-5)
    assert torch.allclose(every.norm(dim=0), torch.ones(32, 64), atol=1e-5)


def test_a_file_of_any_width_comes_back(tmp_path: Path) -> None:
    network, path = random_network(), tmp_path / "alike.pth"
    torch.save(network.state_dict(), path)
    found = load_alike(path)
    image = torch.rand(1, 3, 32, 32)
    assert not found.training and torch.equal(found(image), network(image))


def test_names_and_shapes_are_those_of_the_published_file() -> None:
    shapes = {name: tuple(value.shape) for name, value in AlikeNetwork((16, 32, 64, 128), 128).state_dict().items()}
    assert PUBLISHED_SHAPES.items() <= shapes.items()


# --- invalid files ----------------------------------------------------------------------------------------------
def alike_error(path: Path) -> str:
    with pytest.raises(OmnitrackError, match="is not a file of ALIKE's weights: ") as caught:
        load_alike(path)
    assert str(path) in caught.value.message and "flow.descriptors.weights" in str(caught.value.hint)
    return caught.value.message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"block2.bn1.weight": None}, "block2.bn1.weight is missing"),
        ({"convhead1.weight": torch.zeros(16, 16, 1, 1)}, "convhead1.weight is unknown"),  # ALIKE-l has it
        ({"conv4.weight": torch.zeros(4, 11, 1, 1)}, "conv4.weight has shape (4, 11, 1, 1), not (4, 12, 1, 1)"),
        ({"conv4.weight": torch.full((4, 12, 1, 1), torch.nan)}, "conv4.weight is not finite"),
        ({"block3.conv1.weight": None}, "it has none of its parameters"),
    ],
)
def test_a_file_that_is_not_quite_right_is_named(tmp_path: Path, change: dict[str, Tensor | None], what: str) -> None:
    state: dict[str, Tensor | None] = {**random_network().state_dict(), **change}
    path = tmp_path / "alike.pth"
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    assert what in alike_error(path)


def test_what_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "alike.pth"
    torch.save(random_network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-1000])
    assert "cut short" in alike_error(path)
    torch.save([1, 2], path)
    assert "not a dictionary of tensors" in alike_error(path)
    with pytest.raises(OmnitrackError, match="cannot read"):
        load_alike(tmp_path / "absent.pth")


@needs(REAL)
def test_real_weights_find_a_shifted_place() -> None:
    assert identity(str(REAL), PUBLISHED) == PUBLISHED["alike-n"].sha256
    torch.manual_seed(0)
    texture = F.interpolate(torch.rand(1, 3, 24, 24), size=(160, 160), mode="bicubic").clamp(0, 1)
    network = load_alike(REAL)
    first, second = (
        F.normalize(network(texture[:, :, y : y + 128, x : x + 128]), dim=1)[0] for y, x in ((8, 8), (3, 20))
    )
    at = first[:, 64, 64]
    found = torch.einsum("c,chw->hw", at, second).flatten().argmax()
    assert abs(int(found) // 128 - 69) <= 1 and abs(int(found) % 128 - 52) <= 1
