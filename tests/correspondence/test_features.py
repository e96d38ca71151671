"""Features of frames: how a map lies over its frame, sampling between cells, the input of networks, and the names."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.features import open_extractor
from omnitrack.correspondence.features.contract import check_features, unit_length
from omnitrack.correspondence.features.network_input import network_input, network_size
from omnitrack.correspondence.features.sampling import (
    FrameFeatures,
    cell_positions,
    cosine,
    sample_features,
)
from omnitrack.errors import OmnitrackError
from omnitrack.settings import FeatureSettings

CONSTANT = 50.0


def ramp(grid: tuple[int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map of (x, y, 50): x and y are the pixel at the centre of each cell by the convention of the contract."""
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]]
    x, y = (x + 0.5) * size[0] / grid[1] - 0.5, (y + 0.5) * size[1] / grid[0] - 0.5
    return np.stack([x, y, np.full(grid, CONSTANT)], -1).astype(np.float32)


def plain_sample(features: NDArray[np.float32], x: float, y: float, size: tuple[int, int]) -> NDArray[np.float64]:
    """Sample one pixel, step by step."""
    height, width, _ = features.shape
    column = min(max((x + 0.5) * width / size[0] - 0.5, 0), width - 1)
    row = min(max((y + 0.5) * height / size[1] - 0.5, 0), height - 1)
    left, top = int(column), int(row)
    right, below = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = features[top, left] * (1 - (column - left)) + features[top, right] * (column - left)
    lower = features[below, left] * (1 - (column - left)) + features[below, right] * (column - left)
    mixed = upper * (1 - (row - top)) + lower * (row - top)
    return np.asarray(mixed / np.linalg.norm(mixed), np.float64)


# --- sampling between cells -------------------------------------------------------------------------------------
@pytest.mark.parametrize(("grid", "size"), [((6, 8), (64, 48)), ((3, 7), (107, 60)), ((34, 61), (854, 480))])
def test_a_linear_map_is_read_exactly(grid: tuple[int, int], size: tuple[int, int]) -> None:
    cell = np.array([size[0] / grid[1], size[1] / grid[0]])
    inner = np.random.default_rng(0).random((200, 2)) * (size - cell) + cell / 2 - 0.5  # between the outer centres
    found = sample_features(ramp(grid, size), inner.astype(np.float32), size)
    expected = np.column_stack([inner, np.full(200, CONSTANT)])
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=2e-6)


def test_beyond_the_outer_centres_the_border_counts() -> None:
    features = ramp((6, 8), (64, 48))
    found = sample_features(features, np.float32([[0, 0], [-99, 200], [63, 20]]), (64, 48))
    np.testing.assert_allclose(found[:, 0] / found[:, 2] * CONSTANT, [3.5, 3.5, 59.5], atol=1e-4)
    np.testing.assert_allclose(found[:, 1] / found[:, 2] * CONSTANT, [3.5, 43.5, 20], atol=1e-4)


@pytest.mark.parametrize("grid", [(1, 1), (1, 5), (4, 1), (9, 13)])
def test_sampling_agrees_with_a_plain_loop(grid: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    features = unit_length(rng.standard_normal((*grid, 6)).astype(np.float32))
    pixels = (rng.random((50, 2)) * 60 - 5).astype(np.float32)
    found = sample_features(features, pixels, (50, 40))
    expected = [plain_sample(features, float(x), float(y), (50, 40)) for x, y in pixels]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_cells_and_pixels_are_the_same_place() -> None:
    assert cell_positions(np.float32([[3.5, 11.5]]), (6, 8), (64, 48)).tolist() == [[0, 1]]
    cells = np.random.default_rng(0).random((20, 2)) * [61, 34]
    pixels = (cells + 0.5) * [14, 480 / 34] - 0.5
    np.testing.assert_allclose(cell_positions(pixels, (34, 61), (854, 480)), cells, atol=1e-4)


def test_nothing_at_a_place_is_not_a_direction() -> None:
    features = np.zeros((2, 2, 4), np.float32)
    found = sample_features(features, np.float32([[1, 1], [2, 3]]), (8, 8))
    assert not found.any()
    assert cosine(found, found).tolist() == [0, 0]


def test_no_pixels_no_features() -> None:
    assert sample_features(ramp((3, 4), (32, 24)), np.empty((0, 2), np.float32), (32, 24)).shape == (0, 3)


def test_cosine_of_known_angles() -> None:
    angles = np.radians([0, 60, 90, 180])
    a = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    b = np.tile(np.float32([1, 0]), (4, 1))
    np.testing.assert_allclose(cosine(a, b), [1, 0.5, 0, -1], atol=1e-6)


def test_a_moved_map_is_alike_where_it_moved_to() -> None:
    rng = np.random.default_rng(3)
    wide = unit_length(rng.standard_normal((6, 12, 16)).astype(np.float32))
    maps = [wide[:, 2:10], wide[:, :8]]  # everything moves two cells of 8 px to the right
    appearance = FrameFeatures(maps.__getitem__, (64, 48))
    pixels = np.float32([[11.5, 11.5], [20, 30]])
    features = appearance.at(0, pixels)
    np.testing.assert_allclose(appearance.similarity(features, 1, pixels + np.float32([16, 0])), 1, atol=1e-5)
    assert (appearance.similarity(features, 1, pixels) < 0.9).all()


# --- what an extractor may return -------------------------------------------------------------------------------
def test_what_is_wrong_with_features_is_said() -> None:
    good = unit_length(np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32))
    assert check_features(good) == ""
    good[0, 0] = 0  # a cell without a feature
    assert check_features(good) == ""
    assert "(3, 20)" in check_features(good.reshape(3, 20))
    assert "length" in check_features(good * 3)
    good[1, 1, 2] = np.nan
    assert "1 of 12 cells" in check_features(good)


# --- the input of a network -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "side", "multiple", "expected"),
    [
        ((854, 480), 480, 14, (854, 476)),  # CaDeX++: 61 x 34 patches
        ((854, 480), 480, 16, (848, 480)),
        ((256, 256), 480, 32, (480, 480)),
        ((480, 854), 240, 8, (240, 424)),
        ((64, 48), 48, 32, (64, 32)),
        ((5, 9), 5, 14, (14, 14)),
        ((90, 30), 10, 10, (30, 10)),  # a third of 30 is 10, also in floating point
    ],
)
def test_network_size(size: tuple[int, int], side: int, multiple: int, expected: tuple[int, int]) -> None:
    assert network_size(size, side, multiple) == expected


def test_network_input_is_normalised_by_channel() -> None:
    frames = [np.full((6, 8, 3), (255, 51, 0), np.uint8), np.zeros((6, 8, 3), np.uint8)]
    batch = network_input(frames, (4, 2), mean=(0.5, 0.2, 0.1), std=(0.5, 0.1, 0.2))
    assert batch.shape == (2, 3, 2, 4)
    assert batch.dtype == np.float32
    np.testing.assert_allclose(batch[0, :, 1, 2], [1, 0, -0.5], atol=1e-6)
    np.testing.assert_allclose(batch[1, :, 0, 0], [-1, -2, -0.5], atol=1e-6)
    np.testing.assert_allclose(network_input(frames, (8, 6), white=255)[0, :, 0, 0], [255, 51, 0], atol=1e-4)


# --- the registry -----------------------------------------------------------------------------------------------
def install(monkeypatch: pytest.MonkeyPatch, path: Path, code: str) -> None:
    """Put a package that offers the extractor ``grey`` on the path, laid out as pip does."""
    (path / "grey_features.py").write_text(code, encoding="utf-8")
    info = path / "grey_features-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: grey-features\nVersion: 1.0\n", encoding="utf-8")
    entry = "[omnitrack.feature_extractors]\ngrey = grey_features:Grey\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    monkeypatch.syspath_prepend(path)
    monkeypatch.delitem(sys.modules, "grey_features", raising=False)


def test_an_installed_plug_in_gets_the_settings_and_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, clip: NDArray[np.uint8]
) -> None:
    code = """
import numpy as np
class Grey:
    name, identity, threshold, batch_frames = "grey", "1", 0.9, 4
    def __init__(self, settings, device, progress):
        self.settings, self.device = settings, device
    def extract(self, frames):
        return [np.ones((2, 3, 1), np.float32) for frame in frames]
"""
    install(monkeypatch, tmp_path, code)
    settings = FeatureSettings(extractor="grey")
    extractor = open_extractor(settings, "cuda:1")
    assert extractor.settings is settings  # type: ignore[attr-defined]
    assert extractor.device == "cuda:1"  # type: ignore[attr-defined]
    assert len(extractor.extract([clip[0], clip[1]])) == 2


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import not_installed_anywhere", "not_installed_anywhere"),
        ("class Grey:\n    def __init__(self, settings, device, progress):\n        raise ValueError('bad')", "bad"),
        ("class Grey:\n    def __init__(self, settings, device, progress):\n        pass", "lacks name"),
    ],
)
def test_a_broken_plug_in_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, cause: str) -> None:
    install(monkeypatch, tmp_path, code)
    with pytest.raises(OmnitrackError) as caught:
        open_extractor(FeatureSettings(extractor="grey"))
    assert "'grey'" in caught.value.message
    assert cause in caught.value.message


def test_an_unknown_extractor_is_answered_with_a_guess_or_the_list() -> None:
    with pytest.raises(OmnitrackError, match="'xfeet'") as caught:
        open_extractor(FeatureSettings(extractor="xfeet"))
    assert "did you mean xfeat?" in (caught.value.hint or "")
    with pytest.raises(OmnitrackError) as caught:
        open_extractor(FeatureSettings(extractor="qqqq"))
    assert "dino, dinov2, none, onnx, xfeat" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["xfeat", "onnx"])
def test_networks_that_nobody_publishes_need_a_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="needs the file") as caught:
        open_extractor(FeatureSettings(extractor=name))
    assert "--set features.weights=" in (caught.value.hint or "")
    with pytest.raises(OmnitrackError, match=r"features\.weights.*absent\.onnx"):
        open_extractor(FeatureSettings(extractor=name, weights=str(tmp_path / "absent.onnx")))
