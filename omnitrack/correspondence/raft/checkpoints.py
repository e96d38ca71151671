"""Checkpoints of RAFT: the published ones by name, and the layouts of the original project and of torchvision.

Both layouts are mapped to the parameter names of `RaftNetwork`, strictly: every entry of the file is used, every
parameter is set, and every shape matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from omnitrack.correspondence.raft.network import LARGE, SMALL, Architecture, RaftNetwork
from omnitrack.correspondence.tensor_file import mismatch, read_tensors
from omnitrack.errors import OmnitrackError
from omnitrack.weights import PublishedFile

_FROM = "https://download.pytorch.org/models/"
PUBLISHED = {
    "small": PublishedFile(
        "raft_small_C_T_V2-01064c6d.pth",
        _FROM + "raft_small_C_T_V2-01064c6d.pth",
        "01064c6dba73b0fc9fc8edf772248560a00a3acfd62ac6677e9eeebad9680e27",
        4.0,
        "BSD-3-Clause",
    ),
    "large": PublishedFile(
        "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        _FROM + "raft_large_C_T_SKHT_V2-ff5fadd5.pth",
        "ff5fadd56d26b40647388883af1547351ea17868b765c05b27231e72dd16a322",
        21.1,
        "BSD-3-Clause",
    ),
}
_COUNTERS = "num_batches_tracked"  # of batch normalisation; only training uses them


def load_network(path: Path) -> RaftNetwork:
    """Load a checkpoint of RAFT large or small; call `RaftNetwork.prepare` next.

    Raises:
        OmnitrackError: The file cannot be read, or is not a RAFT checkpoint.
    """
    entries = read_tensors(path, partial(_not_raft, path))
    entries = {name.removeprefix("module."): value for name, value in entries.items()}
    if "fnet.conv1.weight" in entries:
        layout: Callable[[Architecture], Iterator[tuple[str, str]]] = original_names
        large = "cnet.norm1.weight" in entries
    elif "feature_encoder.convnormrelu.0.weight" in entries:
        layout, large = torchvision_names, "mask_predictor.conv.weight" in entries
    else:
        names = ", ".join(list(entries)[:3])
        raise _not_raft(path, f"it has none of RAFT's parameters; its first are {names or 'none at all'}")
    network = RaftNetwork(LARGE if large else SMALL)
    with torch.no_grad():
        _fill(network, entries, list(layout(network.architecture)), path)
    return network


def _fill(network: RaftNetwork, entries: Mapping[str, Tensor], names: list[tuple[str, str]], path: Path) -> None:
    ours = network.state_dict()
    expected = {theirs: ours[name] for name, theirs in names}
    problem = mismatch(entries, expected, [theirs for theirs in expected if theirs.endswith(_COUNTERS)])
    if problem:
        raise _not_raft(path, f"as RAFT {network.architecture.name}: {problem}")
    for name, theirs in names:
        if theirs in entries:
            ours[name].copy_(entries[theirs])  # state_dict shares the parameters' memory


def _not_raft(path: Path, why: str) -> OmnitrackError:
    return OmnitrackError(
        f"{path} is not a RAFT checkpoint: {why}",
        "download it again, or set flow.raft.weights to small, large or another file (original or torchvision layout)",
    )


# --- names ------------------------------------------------------------------------------------------------------
def original_names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Yield our name and the original project's name, without ``module.``, of every entry of a checkpoint."""
    convs = 3 if architecture.bottleneck else 2
    for encoder, theirs in (("features", "fnet"), ("context", "cnet")):
        norm = encoder == "context" and architecture.context_norm
        yield from _normed(f"{encoder}.stem", f"{theirs}.conv1", f"{theirs}.norm1", norm)
        for block, (stage, which) in enumerate(_BLOCKS):
            mine, its = f"{encoder}.blocks.{block}", f"{theirs}.layer{stage}.{which}"
            for conv in range(convs):
                yield from _normed(f"{mine}.convs.{conv}", f"{its}.conv{conv + 1}", f"{its}.norm{conv + 1}", norm)
            if _strided(stage, which):
                yield from _normed(f"{mine}.skip", f"{its}.downsample.0", f"{its}.downsample.1", norm)
                if norm:  # the same layer under a second name
                    yield from _norm(f"{mine}.skip.norm", f"{its}.norm{convs + 1}")
        yield from _conv(f"{encoder}.out", f"{theirs}.conv2")
    for mine, its in {
        "motion.correlation": "encoder.convc1",
        "motion.correlation_2": "encoder.convc2",
        "motion.flow": "encoder.convf1",
        "motion.flow_2": "encoder.convf2",
        "motion.out": "encoder.conv",
        "head.first": "flow_head.conv1",
        "head.second": "flow_head.conv2",
        "mask.first": "mask.0",
        "mask.second": "mask.2",
    }.items():
        if _has(architecture, mine):
            yield from _conv(mine, f"update_block.{its}")
    for unit in range(len(architecture.kernels)):
        number = str(unit + 1) if len(architecture.kernels) > 1 else ""
        for gate, letter in _GATES.items():
            yield from _conv(f"gru.{unit}.{gate}", f"update_block.gru.conv{letter}{number}")


def torchvision_names(architecture: Architecture) -> Iterator[tuple[str, str]]:
    """Yield our name and torchvision's name of every entry of a checkpoint."""
    convs = 3 if architecture.bottleneck else 2
    for encoder, theirs in (("features", "feature_encoder"), ("context", "context_encoder")):
        norm = encoder == "context" and architecture.context_norm
        layers = [(f"{encoder}.stem", f"{theirs}.convnormrelu")]
        for block, (stage, which) in enumerate(_BLOCKS):
            mine, its = f"{encoder}.blocks.{block}", f"{theirs}.layer{stage}.{which}"
            layers += [(f"{mine}.convs.{conv}", f"{its}.convnormrelu{conv + 1}") for conv in range(convs)]
            if _strided(stage, which):
                layers.append((f"{mine}.skip", f"{its}.downsample"))
        for mine, its in layers:
            yield from _normed(mine, f"{its}.0", f"{its}.1", norm)
        yield from _conv(f"{encoder}.out", f"{theirs}.conv")
    for mine, its in {
        "motion.correlation": "update_block.motion_encoder.convcorr1.0",
        "motion.correlation_2": "update_block.motion_encoder.convcorr2.0",
        "motion.flow": "update_block.motion_encoder.convflow1.0",
        "motion.flow_2": "update_block.motion_encoder.convflow2.0",
        "motion.out": "update_block.motion_encoder.conv.0",
        "head.first": "update_block.flow_head.conv1",
        "head.second": "update_block.flow_head.conv2",
        "mask.first": "mask_predictor.convrelu.0",
        "mask.second": "mask_predictor.conv",
    }.items():
        if _has(architecture, mine):
            yield from _conv(mine, its)
    for unit in range(len(architecture.kernels)):
        for gate, letter in _GATES.items():
            its = f"update_block.recurrent_block.convgru{unit + 1}.conv{letter}"
            yield from _conv(f"gru.{unit}.{gate}", its)


_BLOCKS = [(stage, which) for stage in (1, 2, 3) for which in (0, 1)]
_GATES = {"update": "z", "reset": "r", "candidate": "q"}
_NORM_PARTS = ("weight", "bias", "running_mean", "running_var", _COUNTERS)


def _strided(stage: int, which: int) -> bool:
    return stage > 1 and which == 0


def _has(architecture: Architecture, name: str) -> bool:
    absent = {
        "motion.correlation_2": len(architecture.correlation_widths) == 1,
        "mask.first": not architecture.convex,
        "mask.second": not architecture.convex,
    }
    return not absent.get(name, False)


def _conv(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{ours}.{part}", f"{theirs}.{part}") for part in ("weight", "bias"))


def _norm(ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    yield from ((f"{ours}.{part}", f"{theirs}.{part}") for part in _NORM_PARTS)


def _normed(ours: str, conv: str, norm: str, has_norm: bool) -> Iterator[tuple[str, str]]:
    yield from _conv(f"{ours}.conv", conv)
    if has_norm:
        yield from _norm(f"{ours}.norm", norm)
