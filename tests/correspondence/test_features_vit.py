"""DINO and DINOv2 through timm: its absence, files of weights, and, where timm can be imported, the networks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from omnitrack.correspondence.features import open_extractor
from omnitrack.correspondence.features.vit import MODELS, network_weights
from omnitrack.errors import OmnitrackError
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
    """A patch that changes changes its own token most, in a network that has learned nothing."""
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


def test_the_weights_of_another_network_are_refused(weights: tuple[str, Path]) -> None:
    name, path = weights
    other = "dino" if name == "dinov2" else "dinov2"
    with pytest.raises(OmnitrackError, match=f"another network than {other}") as caught:
        open_extractor(FeatureSettings(extractor=other, weights=str(path), side=60)).extract([FRAME])
    assert MODELS[other].checkpoint in (caught.value.hint or "")
