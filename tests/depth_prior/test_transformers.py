"""Depth by models of transformers: tiny random ones, saved to a folder and loaded by omnitrack, without torchvision."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omnitrack.depth_prior import open_source, source_identity
from omnitrack.depth_prior.contract import DepthClip
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings

SourceOf = Callable[..., DepthSettings]
BACKBONE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "mlp_ratio": 2,
    "image_size": 28,
    "patch_size": 14,
    "out_features": ["stage1", "stage2"],
    "reshape_hidden_states": False,
}


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="needs the extra depth")


@pytest.fixture
def save_model(transformers: Any, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that saves a random Depth Anything of some kind."""

    def saved(name: str = "model", **changes: Any) -> Path:
        torch.manual_seed(0)
        config = transformers.DepthAnythingConfig(
            backbone_config=transformers.Dinov2Config(**BACKBONE),
            patch_size=14,
            reassemble_hidden_size=16,
            reassemble_factors=[2, 1],
            neck_hidden_sizes=[8, 8],
            fusion_hidden_size=8,
            head_in_index=-1,
            head_hidden_size=4,
            **changes,
        )
        model = transformers.DepthAnythingForDepthEstimation(config).eval()
        for parameter in model.parameters():  # as initialised, the output is almost constant
            torch.nn.init.normal_(parameter, std=0.3)
        torch.nn.init.constant_(model.head.conv3.bias, 5.0)  # and its output is clipped at 0
        model.save_pretrained(tmp_path / name)
        return tmp_path / name

    return saved


def test_a_local_model_gives_what_transformers_computes(
    transformers: Any,
    save_model: Callable[..., Path],
    clip: DepthClip,
    frame: NDArray[np.uint8],
    source_of: SourceOf,
) -> None:
    folder = save_model()
    own = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7], "size": {"height": 28, "width": 28}}
    (folder / "preprocessor_config.json").write_text(json.dumps(own))
    source = open_source(source_of("transformers", folder), clip)
    # 48 x 64 with 28 on the shorter side is 28 x 37, rounded down to multiples of the patch 28 x 28
    import cv2

    small = cv2.resize(frame, (28, 28), interpolation=cv2.INTER_AREA)
    values = (small / 255 - np.array(own["image_mean"])) / np.array(own["image_std"])
    model = transformers.DepthAnythingForDepthEstimation.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(torch.as_tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32)).predicted_depth[0]
    found = source.depth(0, frame)
    assert float(expected.std()) > 0
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)
    assert source.kind == "inverse"
    assert "torchvision" not in sys.modules


def test_sides_are_what_the_settings_say(
    save_model: Callable[..., Path], clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    depth = open_source(source_of("transformers", save_model(), side=42), clip).depth(0, frame)
    assert depth.shape == (42, 56)


def test_the_kind_follows_the_model(save_model: Callable[..., Path], clip: DepthClip, source_of: SourceOf) -> None:
    metric = save_model("metric", depth_estimation_type="metric", max_depth=20)
    assert open_source(source_of("transformers", metric), clip).kind == "depth"
    assert open_source(source_of("transformers", metric, kind="inverse"), clip).kind == "inverse"


def test_identity_is_of_the_files_or_the_name(save_model: Callable[..., Path], source_of: SourceOf) -> None:
    folder = save_model()
    first = source_identity(source_of("transformers", folder))
    (folder / "model.safetensors").write_bytes(b"other")
    assert source_identity(source_of("transformers", folder)) != first
    assert source_identity(source_of("transformers", "org/name")) == "org/name"


def test_a_model_cut_short_of_another_kind_or_nowhere(
    transformers: Any,
    save_model: Callable[..., Path],
    tmp_path: Path,
    clip: DepthClip,
    frame: NDArray[np.uint8],
    source_of: SourceOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(path: object) -> str:
        with pytest.raises(OmnitrackError, match=r"cannot load the depth model|not those of its config") as caught:
            open_source(source_of("transformers", path, kind="depth"), clip).depth(0, frame)
        return caught.value.message

    short = save_model("short")
    data = (short / "model.safetensors").read_bytes()
    (short / "model.safetensors").write_bytes(data[: len(data) // 2])
    fails(short)
    backbone = transformers.Dinov2Model(transformers.Dinov2Config(**BACKBONE))
    backbone.save_pretrained(tmp_path / "backbone")
    assert "backbone" in fails(tmp_path / "backbone")
    mixed = save_model("mixed")
    (mixed / "model.safetensors").write_bytes((tmp_path / "backbone" / "model.safetensors").read_bytes())
    assert "is missing" in fails(mixed)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    fails(tmp_path / "nowhere")


def test_without_transformers_the_extra_is_named(
    clip: DepthClip, source_of: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(OmnitrackError, match="needs the package transformers") as caught:
        open_source(source_of("transformers", "org/name"), clip)
    assert caught.value.hint == 'pip install "omnitrack-video[depth]"'
