"""Depth by ONNX networks: their input, their output, and networks that do not fit.

The networks are built of a few nodes with the package onnx, and run with onnxruntime: both are extras.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.depth_prior import open_source, source_identity
from omnitrack.depth_prior.contract import DepthClip
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings, OnnxDepthSettings

SourceOf = Callable[..., DepthSettings]


def network(path: Path, shape: list[Any], axes: tuple[int, ...] = (1,), channels_out: bool = False) -> Path:
    """Write a network that returns the mean over some axes of its input, by default over the channels."""
    onnx = pytest.importorskip("onnx", reason="needs the package onnx to make a network")
    pytest.importorskip("onnxruntime", reason="needs the extra onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    if channels_out:
        node = helper.make_node("Identity", ["image"], ["depth"])
    else:
        node = helper.make_node("ReduceMean", ["image"], ["depth"], axes=list(axes), keepdims=0)
    graph = helper.make_graph(
        [node],
        "depth",
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info("depth", kind, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def test_a_fixed_size_and_the_normalisation(tmp_path: Path, clip: DepthClip, source_of: SourceOf) -> None:
    path = network(tmp_path / "net.onnx", [1, 3, 24, 32])
    fed = OnnxDepthSettings(mean=(0.2, 0.2, 0.2), std=(0.5, 0.5, 0.5))
    source = open_source(source_of("onnx", path, kind="inverse", onnx=fed), clip)
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, 32:] = 255
    depth = source.depth(0, frame)
    assert source.kind == "inverse"
    assert depth.shape == (24, 32)
    np.testing.assert_allclose(depth[:, :16], (0 - 0.2) / 0.5, rtol=1e-5)
    np.testing.assert_allclose(depth[:, 16:], (1 - 0.2) / 0.5, rtol=1e-5)


def test_a_free_size_follows_the_settings(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    path = network(tmp_path / "net.onnx", [1, 3, "h", "w"])
    source = open_source(source_of("onnx", path, kind="depth", side=30, onnx=OnnxDepthSettings(multiple=8)), clip)
    assert source.depth(0, frame).shape == (24, 40)  # 30 x 40, rounded down to multiples of 8
    source = open_source(source_of("onnx", path, kind="depth"), clip)
    assert source.depth(0, frame).shape == (518, 686)  # 690 is not a multiple of 14


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("depth_anything_v2_vits.onnx", "inverse"),
        ("depth-anything-v2-metric-indoor.onnx", "depth"),
        ("ZoeD_K.onnx", "depth"),
        ("dpt_swin2_tiny_256.onnx", "inverse"),
    ],
)
def test_the_kind_of_known_networks(tmp_path: Path, clip: DepthClip, source_of: SourceOf, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"is not read yet")
    assert open_source(source_of("onnx", tmp_path / name), clip).kind == kind


def test_the_kind_of_others_has_to_be_said(tmp_path: Path, clip: DepthClip, source_of: SourceOf) -> None:
    (tmp_path / "mine.onnx").write_bytes(b"is not read yet")
    with pytest.raises(OmnitrackError, match="it is not known whether larger values of") as caught:
        open_source(source_of("onnx", tmp_path / "mine.onnx"), clip)
    assert "depth.kind=inverse" in str(caught.value.hint)


def test_the_identity_is_of_the_content(tmp_path: Path, source_of: SourceOf) -> None:
    path = tmp_path / "net.onnx"
    settings = source_of("onnx", path)
    assert source_identity(settings) == "missing"
    path.write_bytes(b"a")
    first = source_identity(settings)
    path.write_bytes(b"bb")
    assert len({first, source_identity(settings), "missing"}) == 3


def test_networks_that_do_not_fit(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    def depth_of(path: Path) -> None:
        open_source(source_of("onnx", path, kind="depth"), clip).depth(0, frame)

    with pytest.raises(OmnitrackError, match=r"depth\.path.*is not a file"):
        depth_of(tmp_path / "none.onnx")
    whole = network(tmp_path / "net.onnx", [1, 3, 24, 32]).read_bytes()
    (tmp_path / "short.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(OmnitrackError, match=r"short\.onnx is not a network.*or is cut short") as caught:
        depth_of(tmp_path / "short.onnx")
    assert "depth.path" in str(caught.value.hint)
    with pytest.raises(OmnitrackError, match=r"does not take one image \[1, 3, height, width\]"):
        depth_of(network(tmp_path / "vector.onnx", [1, 10]))
    with pytest.raises(OmnitrackError, match=r"gives no depth map: its first output has the shape \[1, 3, 24, 32\]"):
        depth_of(network(tmp_path / "features.onnx", [1, 3, 24, 32], channels_out=True))
    with pytest.raises(OmnitrackError, match="gives no depth map"):
        depth_of(network(tmp_path / "classifier.onnx", [1, 3, 24, 32], axes=(2, 3)))


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "net.onnx").write_bytes(b"is not read")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    source = open_source(source_of("onnx", tmp_path / "net.onnx", kind="depth"), clip)
    with pytest.raises(OmnitrackError, match="needs the package onnxruntime") as caught:
        source.depth(0, frame)
    assert caught.value.hint == 'pip install "omnitrack-video[onnx]"'
