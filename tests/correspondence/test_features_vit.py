"""DINO and DINOv2 through timm: without timm, from weight files, and, if timm can be imported, the networks."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx_bytes import pooling
from shared_data import WEIGHTS, needs

from omnitrack.correspondence.features import open_extractor
from omnitrack.correspondence.features.network_input import IMAGENET_MEAN, IMAGENET_STD, network_input
from omnitrack.correspondence.features.vit import MODELS, VitExtractor, network_weights
from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT
from omnitrack.settings import FeatureSettings

PATCHES = {"dino": 16, "dinov2": 14}
FRAME = np.random.default_rng(0).integers(0, 256, (60, 107, 3), np.uint8)


@pytest.fixture(scope="module")
def timm() -> Any:
    try:
        import timm
    except ImportError as error:
        pytest.skip(f"timm (the extra features) cannot be imported: {error}")
    return timm


@pytest.mark.parametrize("name", ["dino", "dinov2"])
def test_without_timm_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(OmnitrackError, match="timm") as caught:
        open_extractor(FeatureSettings(extractor=name))
    assert caught.value.hint == 'pip install "omnitrack-video[features]"'


def test_a_file_of_weights_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match=r"features\.weights.*absent\.pth"):
        open_extractor(FeatureSettings(extractor="dino", weights=str(tmp_path / "absent.pth")))


# --- blocks and ONNX files --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["dino", "dinov2"])
def test_a_block_that_no_model_has(name: str) -> None:
    with pytest.raises(OmnitrackError, match=f"{name} has no block 12"):
        open_extractor(FeatureSettings(extractor=name, block=12))


def test_a_threshold_is_of_the_block_that_it_was_measured_on(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    path.touch()

    def threshold(name: str, block: int) -> float:
        return VitExtractor(FeatureSettings(extractor=name, weights=str(path), block=block), "cpu", SILENT).threshold

    assert [threshold("dinov2", block) for block in (-1, 5, 11)] == [0.6, 0.6, 0.5]
    assert threshold("dino", -1) == 0.5


def test_an_onnx_file_needs_no_timm_and_says_itself_where_it_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    path = pooling(tmp_path / "network.onnx", 14)
    with pytest.raises(OmnitrackError, match="the block that it ends with") as caught:
        open_extractor(FeatureSettings(extractor="dinov2", weights=str(path), block=5))
    assert caught.value.hint == "leave features.block alone, or name weights that timm reads"
    pytest.importorskip("onnxruntime", reason="onnxruntime (the extra onnx) is not installed")
    with pytest.raises(OmnitrackError, match="384 channels"):
        open_extractor(FeatureSettings(extractor="dinov2", weights=str(path))).extract([FRAME])


@needs(WEIGHTS / "dinov2-vits14-layer5.onnx")
def test_tokens_of_the_sixth_block_tell_places_apart() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime (the extra onnx) is not installed")
    path = WEIGHTS / "dinov2-vits14-layer5.onnx"
    extractor = open_extractor(FeatureSettings(extractor="dinov2", weights=str(path), side=112))
    frame = np.kron(np.random.default_rng(3).integers(0, 256, (8, 12, 3), np.uint8), np.ones((14, 14, 1), np.uint8))
    moved = np.roll(frame, 28, axis=1)
    before, after = extractor.extract([frame, moved])
    assert before.shape == (8, 12, 384)
    likeness = np.einsum("ijc,klc->ijkl", before, after)[3, 3]
    assert np.unravel_index(likeness.argmax(), likeness.shape) == (3, 5)


# --- checkpoints ------------------------------------------------------------------------------------------------
def test_what_wraps_a_network_in_training_is_taken_off(tmp_path: Path) -> None:
    kept = {"cls_token": torch.ones(1, 1, 4), "blocks.0.norm1.weight": torch.arange(4.0)}
    path = tmp_path / "checkpoint.pth"
    torch.save({**kept, "mask_token": torch.zeros(1, 4)}, path)
    assert network_weights(path).keys() == kept.keys()
    wrapped = {f"module.backbone.{name}": value for name, value in kept.items()}
    torch.save({"teacher": {**wrapped, "head.mlp.weight": torch.zeros(2)}, "epoch": 3}, path)
    found = network_weights(path)
    assert found.keys() == kept.keys()
    assert torch.equal(found["blocks.0.norm1.weight"], torch.arange(4.0))


def test_a_checkpoint_that_is_cut_short_or_something_else(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"cls_token": torch.ones(1000)}, path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no weights at all" * 9):
        path.write_bytes(content)
        with pytest.raises(OmnitrackError, match="is cut short") as caught:
            network_weights(path)
        assert "features.weights" in (caught.value.hint or "")
    torch.save([1, 2], path)
    with pytest.raises(OmnitrackError, match="not a file of weights"):
        network_weights(path)


# --- the networks -----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["dino", "dinov2"])
def weights(request: pytest.FixtureRequest, timm: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of an extractor and random weights for it."""
    torch.manual_seed(0)
    network = timm.create_model(MODELS[request.param].timm, pretrained=False, num_classes=0)
    path = tmp_path_factory.mktemp("weights") / MODELS[request.param].checkpoint
    torch.save({**network.state_dict(), "mask_token": torch.zeros(1, 384)}, path)
    return request.param, path


def test_maps_of_any_size(weights: tuple[str, Path]) -> None:
    name, path = weights
    patch = PATCHES[name]
    extractor = open_extractor(FeatureSettings(extractor=name, weights=str(path), side=64))
    first, second = extractor.extract([FRAME, FRAME[::-1].copy()])
    assert first.shape == second.shape == (64 // patch, int(107 * 64 / 60) // patch, 384)
    assert first.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(first, axis=-1), 1, atol=1e-5)
    np.testing.assert_allclose(extractor.extract([FRAME])[0], first, atol=1e-5)
    assert not np.allclose(first, second, atol=1e-2)


def test_tokens_lie_where_their_patches_are(weights: tuple[str, Path]) -> None:
    """A changed patch changes its own token most, even in an untrained network."""
    name, path = weights
    patch = PATCHES[name]
    extractor = open_extractor(FeatureSettings(extractor=name, weights=str(path), side=4 * patch))
    frame = np.random.default_rng(1).integers(0, 256, (4 * patch, 5 * patch, 3), np.uint8)
    changed = frame.copy()
    changed[2 * patch : 3 * patch, patch : 2 * patch] //= 4
    before, after = extractor.extract([frame, changed])
    assert before.shape == (4, 5, 384)
    moved = np.linalg.norm(after - before, axis=-1)
    assert np.unravel_index(moved.argmax(), moved.shape) == (2, 1)


def test_tokens_of_a_block_are_those_that_pass_it(weights: tuple[str, Path], timm: Any) -> None:
    name, path = weights
    patch = PATCHES[name]
    network = timm.create_model(MODELS[name].timm, pretrained=False, num_classes=0, dynamic_img_size=True).eval()
    network.load_state_dict(network_weights(path))
    settings = FeatureSettings(extractor=name, weights=str(path), side=4 * patch)
    image = np.random.default_rng(1).integers(0, 256, (4 * patch, 5 * patch, 3), np.uint8)
    passed: dict[int, torch.Tensor] = {}
    for index, block in enumerate(network.blocks):
        block.register_forward_hook(lambda *hooked, at=index: passed.update({at: hooked[2]}))
    shown = network_input([image], (5 * patch, 4 * patch), IMAGENET_MEAN, IMAGENET_STD)
    with torch.inference_mode():
        last = network.forward_features(torch.from_numpy(shown))
    for block, tokens in ((0, passed[0]), (5, passed[5]), (11, last)):
        extractor = open_extractor(replace(settings, block=block))
        expected = torch.nn.functional.normalize(tokens[0, 1:], dim=-1).reshape(4, 5, -1)
        np.testing.assert_allclose(extractor.extract([image])[0], expected.numpy(), atol=1e-5)
    own = {"dino": 11, "dinov2": 5}[name]
    identities = {block: open_extractor(replace(settings, block=block)).identity for block in (-1, 5, 11)}
    assert identities[-1] == identities[own] and identities[5] != identities[11]


def test_the_weights_of_another_network_are_refused(weights: tuple[str, Path]) -> None:
    name, path = weights
    other = "dino" if name == "dinov2" else "dinov2"
    with pytest.raises(OmnitrackError, match=f"another network than {other}") as caught:
        open_extractor(FeatureSettings(extractor=other, weights=str(path), side=60)).extract([FRAME])
    assert MODELS[other].checkpoint in (caught.value.hint or "")
