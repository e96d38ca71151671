"""Checkpoints of RAFT in the layouts of the original project and of torchvision, and invalid files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from omnitrack.correspondence.raft.checkpoints import PUBLISHED, load_network, original_names, torchvision_names
from omnitrack.correspondence.raft.network import LARGE, SMALL, Architecture, RaftNetwork
from omnitrack.errors import OmnitrackError

Names = Callable[[Architecture], Iterator[tuple[str, str]]]
# Parameters: the original paper reports 5.3 M and 1.0 M; torchvision's documentation gives these numbers.
SIZES = {"small": 990_162, "large": 5_257_536}


def random_state(architecture: Architecture) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        name: torch.randn(value.shape) if value.is_floating_point() else value
        for name, value in RaftNetwork(architecture).state_dict().items()
    }


def checkpoint(state: dict[str, Tensor], names: Names, architecture: Architecture, prefix: str) -> dict[str, Tensor]:
    return {prefix + theirs: state[ours] for ours, theirs in names(architecture)}


@pytest.mark.parametrize("architecture", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("names", "prefix"),
    [(original_names, "module."), (original_names, ""), (torchvision_names, "")],
    ids=["original", "original without module", "torchvision"],
)
def test_every_parameter_comes_back(tmp_path: Path, architecture: Architecture, names: Names, prefix: str) -> None:
    state = random_state(architecture)
    path = tmp_path / "raft.pth"
    torch.save(checkpoint(state, names, architecture, prefix), path)
    network = load_network(path)
    assert network.architecture is architecture
    found = network.state_dict()
    assert found.keys() == state.keys()
    for name in (name for name in state if not name.endswith("num_batches_tracked")):
        assert torch.equal(found[name], state[name]), name
    assert sum(value.numel() for value in network.parameters()) == SIZES[architecture.name]


# Entries of the published files, copied from them: a convolution, a norm and a gate of each part.
PUBLISHED_NAMES: dict[tuple[str, Names], dict[str, tuple[int, ...]]] = {
    ("large", original_names): {
        "fnet.layer2.0.downsample.0.weight": (96, 64, 1, 1),
        "cnet.layer2.0.norm3.running_var": (96,),
        "cnet.layer2.0.downsample.1.running_var": (96,),
        "cnet.conv2.weight": (256, 128, 1, 1),
        "update_block.encoder.convc2.weight": (192, 256, 3, 3),
        "update_block.gru.convr2.weight": (128, 384, 5, 1),
        "update_block.mask.2.weight": (576, 256, 1, 1),
    },
    ("large", torchvision_names): {
        "feature_encoder.layer2.0.downsample.0.weight": (96, 64, 1, 1),
        "context_encoder.layer2.0.downsample.1.running_var": (96,),
        "context_encoder.convnormrelu.1.weight": (64,),
        "update_block.recurrent_block.convgru2.convr.weight": (128, 384, 5, 1),
        "mask_predictor.conv.weight": (576, 256, 1, 1),
    },
    ("small", torchvision_names): {
        "feature_encoder.layer3.1.convnormrelu2.0.weight": (24, 24, 3, 3),
        "update_block.motion_encoder.convcorr1.0.weight": (96, 196, 1, 1),
        "update_block.recurrent_block.convgru1.convq.bias": (96,),
    },
}


@pytest.mark.parametrize("key", PUBLISHED_NAMES, ids=lambda key: f"{key[0]} {key[1].__name__}")
def test_names_are_those_of_the_published_files(key: tuple[str, Names]) -> None:
    architecture, names = {"small": SMALL, "large": LARGE}[key[0]], key[1]
    state = RaftNetwork(architecture).state_dict()
    shapes = {theirs: tuple(state[ours].shape) for ours, theirs in names(architecture)}
    for theirs, shape in PUBLISHED_NAMES[key].items():
        assert shapes.get(theirs) == shape, theirs


def raft_error(path: Path) -> str:
    with pytest.raises(OmnitrackError, match="is not a RAFT checkpoint: ") as caught:
        load_network(path)
    assert str(path) in caught.value.message and "flow.raft.weights" in str(caught.value.hint)
    return caught.value.message


def test_other_files_are_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "raft.pth"
    good = checkpoint(random_state(SMALL), original_names, SMALL, "module.")
    torch.save(good, path)
    path.write_bytes(path.read_bytes()[:100_000])
    assert "cut short" in raft_error(path)
    path.write_text("<html>not found</html>")
    assert "torch cannot read it" in raft_error(path)
    torch.save([1, 2, 3], path)
    assert "not a dictionary of tensors" in raft_error(path)
    torch.save({"backbone.weight": torch.zeros(3)}, path)
    assert "its first are backbone.weight" in raft_error(path)
    torch.save({}, path)
    assert "none at all" in raft_error(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda entries: entries.pop("module.fnet.conv2.bias"), "as RAFT small: fnet.conv2.bias is missing"),
        (lambda entries: entries.update(extra=torch.zeros(1)), "as RAFT small: extra is unknown"),
        (
            lambda entries: entries.update({"module.fnet.conv2.bias": torch.zeros(64)}),
            r"as RAFT small: fnet.conv2.bias has shape \(64,\), not \(128,\)",
        ),
        (
            lambda entries: entries.update({"module.fnet.conv2.bias": torch.full((128,), torch.nan)}),
            "as RAFT small: fnet.conv2.bias is not finite",
        ),
    ],
    ids=["missing", "unknown", "shape", "not finite"],
)
def test_a_checkpoint_is_read_strictly(tmp_path: Path, change: Callable[..., object], says: str) -> None:
    entries = checkpoint(random_state(SMALL), original_names, SMALL, "module.")
    change(entries)
    torch.save(entries, tmp_path / "raft.pth")
    with pytest.raises(OmnitrackError, match=says):
        load_network(tmp_path / "raft.pth")


def test_no_code_in_a_checkpoint_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "trapped",)

    torch.save({"fnet.conv1.weight": Trap()}, tmp_path / "raft.pth")
    raft_error(tmp_path / "raft.pth")
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("name", PUBLISHED)
def test_checksums_begin_as_the_published_file_names_end(name: str) -> None:
    """The convention of torch hub: the first eight digits of the sha256 before the suffix."""
    file = PUBLISHED[name]
    assert len(file.sha256) == 64 and file.url.endswith(f"-{file.sha256[:8]}.pth") and file.url.endswith(file.name)
