"""Features by ONNX networks: which shapes are maps, what the input is, and which networks are refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx_bytes
import pytest
from numpy.typing import NDArray
from onnx_bytes import node, pooling, write_network
from shared_data import WEIGHTS, needs

from omnitrack.correspondence.features import open_extractor
from omnitrack.correspondence.features.onnx_model import dense_map
from omnitrack.correspondence.features.sampling import sample_features
from omnitrack.errors import OmnitrackError
from omnitrack.settings import FeatureSettings, OnnxFeatureSettings

XFEAT = WEIGHTS / "xfeat.onnx"
PLAIN = OnnxFeatureSettings(multiple=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


def extract(path: Path, frame: NDArray[np.uint8], fed: OnnxFeatureSettings = PLAIN, **settings: Any) -> Any:
    pytest.importorskip("onnxruntime", reason="onnxruntime (the extra onnx) is not installed")
    chosen = {"extractor": "onnx", "side": min(frame.shape[:2]), **settings}
    return open_extractor(FeatureSettings(weights=str(path), onnx=fed, **chosen)).extract([frame])[0]


def refusal(path: Path, fed: OnnxFeatureSettings = PLAIN, **settings: Any) -> OmnitrackError:
    with pytest.raises(OmnitrackError) as caught:
        extract(path, np.zeros((48, 64, 3), np.uint8), fed, **settings)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def ramp() -> NDArray[np.uint8]:
    """(48, 64, 3): red is x, green is y, blue is 100."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([x, y, np.full_like(x, 100)], -1).astype(np.uint8)


# --- which outputs are maps -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((1, 64, 60, 107), (854, 480), (60, 107, 64)),
        ((1, 60, 107, 64), (854, 480), (60, 107, 64)),
        ((1, 64, 32, 32), (256, 256), (32, 32, 64)),
        ((1, 32, 32, 64), (256, 256), (32, 32, 64)),
        ((1, 34 * 61, 384), (854, 476), (34, 61, 384)),
        ((1, 34 * 61 + 1, 384), (854, 476), (34, 61, 384)),
        ((1, 34 * 61 + 5, 384), (854, 476), (34, 61, 384)),
        ((1, 35 * 61, 384), (854, 476), None),  # patches would not be square
        ((1, 1000), (224, 224), None),
        ((2, 64, 32, 32), (256, 256), None),
        ((1, 3, 512, 512), (256, 256), None),
        ((1, 64, 10, 90), (256, 256), None),
    ],
)
def test_which_shapes_are_maps(
    shape: tuple[int, ...], size: tuple[int, int], expected: tuple[int, int, int] | None
) -> None:
    found = dense_map(np.zeros(shape, np.float32), size)
    assert (None if found is None else found.shape) == expected


def test_tokens_go_row_by_row_after_the_prefix() -> None:
    tokens = np.arange(1 + 2 * 3, dtype=np.float32).reshape(1, 7, 1)
    found = dense_map(tokens, (42, 28))
    assert found is not None
    assert found[..., 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_channels_come_last() -> None:
    output = np.arange(2 * 3 * 4, dtype=np.float32).reshape(1, 2, 3, 4)
    found = dense_map(output, (32, 24))
    assert found is not None
    assert found[1, 2].tolist() == output[0, :, 1, 2].tolist()


# --- running a network ------------------------------------------------------------------------------------------
def test_a_map_lies_over_its_frame_as_the_contract_says(tmp_path: Path, ramp: NDArray[np.uint8]) -> None:
    """The mean of a ramp over a cell is its value at the centre of the cell."""
    features = extract(pooling(tmp_path / "mean.onnx"), ramp)
    assert features.shape == (6, 8, 3)
    np.testing.assert_allclose(np.linalg.norm(features, axis=-1), 1, atol=1e-6)
    y, x = np.mgrid[0:6, 0:8]
    np.testing.assert_allclose(features[..., 0] / features[..., 2] * 100, (x + 0.5) * 8 - 0.5, atol=1e-3)
    np.testing.assert_allclose(features[..., 1] / features[..., 2] * 100, (y + 0.5) * 8 - 0.5, atol=1e-3)
    centre = sample_features(features, np.float32([[27.5, 19.5]]), (64, 48))[0]
    np.testing.assert_allclose(centre / centre[2] * 100, [27.5, 19.5, 100], atol=1e-3)


def test_frames_are_resized_and_normalised(tmp_path: Path, ramp: NDArray[np.uint8]) -> None:
    path = pooling(tmp_path / "mean.onnx")
    assert extract(path, ramp, side=96).shape == (12, 16, 3)
    assert extract(path, ramp, side=100, fed=OnnxFeatureSettings(multiple=32)).shape == (12, 16, 3)
    grey = np.full((48, 64, 3), 51, np.uint8)  # 0.2 of white
    fed = OnnxFeatureSettings(multiple=8, mean=(0.0, 0.1, 0.4), std=(0.2, 0.1, 0.1))
    np.testing.assert_allclose(extract(path, grey, fed)[3, 3], np.array([1, 1, -2]) / np.sqrt(6), atol=1e-5)
    fed = OnnxFeatureSettings(multiple=8, white=255.0, mean=(0.0, 0.0, 51.0), std=(51.0, 51.0, 1.0))
    np.testing.assert_allclose(extract(path, grey, fed)[3, 3], np.array([1, 1, 0]) / np.sqrt(2), atol=1e-5)


def test_a_network_of_one_size_gets_that_size(tmp_path: Path, ramp: NDArray[np.uint8]) -> None:
    path = pooling(tmp_path / "fixed.onnx", shape=(1, 3, 24, 32))
    features = extract(path, ramp, side=480)
    assert features.shape == (3, 4, 3)
    np.testing.assert_allclose(features[0, 1, 0] / features[0, 1, 2] * 100, 23.5, atol=1)  # rounded to bytes


def test_half_precision(tmp_path: Path, ramp: NDArray[np.uint8]) -> None:
    path = pooling(tmp_path / "half.onnx", dtype=onnx_bytes.FLOAT16)
    features = extract(path, ramp)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, extract(pooling(tmp_path / "mean.onnx"), ramp), atol=2e-3)


def test_the_output_that_is_a_map_is_found(tmp_path: Path, ramp: NDArray[np.uint8]) -> None:
    nodes = [
        node("GlobalAveragePool", ["image"], "whole"),
        node("Flatten", ["whole"], "class"),
        node("AveragePool", ["image"], "cells", kernel_shape=[8, 8], strides=[8, 8]),
        node("MaxPool", ["image"], "peaks", kernel_shape=[8, 8], strides=[8, 8]),
    ]
    shape = (1, 3, "h", "w")
    outputs = {"class": (1, 3), "cells": (1, 3, "r", "c"), "peaks": (1, 3, "r", "c")}
    path = write_network(tmp_path / "three.onnx", nodes, {"image": shape}, outputs)
    mean = extract(pooling(tmp_path / "mean.onnx"), ramp)
    np.testing.assert_allclose(extract(path, ramp), mean, atol=1e-6)
    fed = OnnxFeatureSettings(output="peaks", multiple=8, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    peaks = extract(path, ramp, fed)
    np.testing.assert_allclose(peaks[0, 1, 0] / peaks[0, 1, 2] * 100, 15, atol=1e-3)
    error = refusal(path, OnnxFeatureSettings(output="cell", multiple=8))
    assert "no output 'cell'" in error.message
    assert "class, cells, peaks" in (error.hint or "")


# --- unsuitable networks ----------------------------------------------------------------------------------------
def test_a_file_that_is_cut_short_or_something_else(tmp_path: Path) -> None:
    whole = pooling(tmp_path / "mean.onnx").read_bytes()
    for name, content in {"empty": b"", "half": whole[: len(whole) // 2], "text": b"not a network" * 40}.items():
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        error = refusal(path)
        assert "is not a network in the ONNX format, or is cut short" in error.message, name
        assert "features.weights" in (error.hint or "")


def test_a_network_of_something_else_than_one_image(tmp_path: Path) -> None:
    add = node("Add", ["a", "b"], "sum")
    shape = (1, 3, "h", "w")
    path = write_network(tmp_path / "two.onnx", [add], {"a": shape, "b": shape}, {"sum": shape})
    assert "does not take one image" in refusal(path).message
    assert "does not take one image" in refusal(pooling(tmp_path / "grey.onnx", shape=(1, 1, "h", "w"))).message


def test_a_network_without_a_map(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", ["image"], "whole"), node("Flatten", ["whole"], "class")]
    path = write_network(tmp_path / "class.onnx", nodes, {"image": (1, 3, "h", "w")}, {"class": (1, 3)})
    error = refusal(path)
    assert "no map of features" in error.message
    assert "class [1, 3]" in error.message


def test_a_network_that_fails_on_an_image(tmp_path: Path) -> None:
    """Cells of 5 x 5, then a sum with 7 x 7 of them: only images of 35 x 35 fit."""
    nodes = [
        node("AveragePool", ["image"], "cells", kernel_shape=[5, 5], strides=[5, 5]),
        node("Add", ["cells", "constant"], "sum"),
    ]
    shape = (1, 3, "h", "w")
    path = write_network(tmp_path / "one_size.onnx", nodes, {"image": shape}, {"sum": (1, 3, 7, 7)}, constant=(7, 7))
    error = refusal(path)
    assert "64x48" in error.message
    assert "features.onnx.multiple" in (error.hint or "")


def test_xfeat_must_have_its_channels(tmp_path: Path) -> None:
    error = refusal(pooling(tmp_path / "mean.onnx"), extractor="xfeat")
    assert "64 channels" in error.message


def test_without_onnxruntime_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    path = pooling(tmp_path / "mean.onnx")
    for name in ("onnx", "xfeat"):
        with pytest.raises(OmnitrackError, match="onnxruntime") as caught:
            open_extractor(FeatureSettings(extractor=name, weights=str(path)))
    assert caught.value.hint == 'pip install "omnitrack-video[onnx]"'


# --- a real network ---------------------------------------------------------------------------------------------
@needs(XFEAT)
def test_xfeat_finds_a_texture_where_it_moved_to(textured_clip: Any) -> None:
    frames = textured_clip(2, (192, 128), (16, 8))  # two cells to the right, one down
    first, second = (extract(XFEAT, frame, extractor="xfeat") for frame in frames)
    assert first.shape == (16, 24, 64)
    np.testing.assert_allclose(np.linalg.norm(first, axis=-1), 1, atol=1e-5)
    inner = first[3:12, 3:19]
    same = np.einsum("yxc,yxc->yx", inner, second[4:13, 5:21])
    stayed = np.einsum("yxc,yxc->yx", inner, second[3:12, 3:19])
    assert same.min() > 0.95 > stayed.mean() + 0.1
    best = np.einsum("yxc,vuc->yxvu", inner, second).reshape(9, 16, -1).argmax(-1)
    v, u = np.divmod(best, 24)
    y, x = np.mgrid[3:12, 3:19]
    assert ((v == y + 1) & (u == x + 2)).mean() > 0.9


@needs(XFEAT)
def test_xfeat_does_not_see_brightness_and_a_cut_file_is_refused(clip: NDArray[np.uint8], tmp_path: Path) -> None:
    darker = (clip[0] // 2).astype(np.uint8)
    found = extract(XFEAT, clip[0], extractor="xfeat", side=96), extract(XFEAT, darker, extractor="xfeat", side=96)
    assert found[0].shape == (12, 16, 64)
    assert np.einsum("yxc,yxc->yx", *found).min() > 0.98
    cut = tmp_path / "xfeat.onnx"
    cut.write_bytes(XFEAT.read_bytes()[:1_000_000])
    assert "cut short" in refusal(cut, extractor="xfeat").message
