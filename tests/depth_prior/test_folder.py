"""Depth maps from files of every format, and which file belongs to which frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.depth_prior import open_source, source_identity
from omnitrack.depth_prior.contract import DepthClip
from omnitrack.depth_prior.folder import natural_order, read_map
from omnitrack.errors import OmnitrackError
from omnitrack.settings import DepthSettings

SourceOf = Callable[..., DepthSettings]
RAMP = np.arange(12 * 16, dtype=np.float32).reshape(12, 16)  # the frames at a quarter of their size


def write(path: Path, values: NDArray[np.generic]) -> None:
    if path.suffix == ".npz":
        np.savez(path, depth=values, other=np.zeros(3))
    elif path.suffix == ".npy":
        np.save(path, values)
    else:
        assert cv2.imwrite(str(path), np.asarray(values, np.uint16))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".png"])
def test_every_format_gives_the_values_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    write(path, RAMP * 300)  # more than 8 bits
    found = read_map(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, RAMP * 300)


def test_axes_of_length_one_and_a_single_array_of_any_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", arr=RAMP[None, :, :, None].astype(np.float64))
    np.testing.assert_array_equal(read_map(tmp_path / "a.npz"), RAMP)


def test_names_sort_by_their_numbers() -> None:
    names = ["f10.png", "f9.png", "a.png", "f1.png", "007.png", "7.png"]
    assert sorted(names, key=natural_order) == ["007.png", "7.png", "a.png", "f1.png", "f9.png", "f10.png"]


def test_one_map_per_frame_in_natural_order(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    for number in (8, 9, 10):
        write(tmp_path / f"d{number}.npy", RAMP + number)
    source = open_source(source_of("folder", tmp_path), clip)
    assert source.kind == "depth"
    assert [float(source.depth(t, frame)[0, 0]) for t in range(3)] == [8, 9, 10]


def test_one_map_per_frame_of_the_video(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    for number in range(8):
        write(tmp_path / f"{number}.png", RAMP + number)
    source = open_source(source_of("folder", tmp_path, kind="inverse"), clip)
    assert source.kind == "inverse"
    assert [float(source.depth(t, frame)[0, 0]) for t in range(3)] == [2, 4, 6]  # the clip's indices


@pytest.mark.parametrize("count", [2, 6])
def test_another_number_of_maps_names_both_numbers(
    tmp_path: Path, clip: DepthClip, source_of: SourceOf, count: int
) -> None:
    for number in range(count):
        write(tmp_path / f"{number}.npy", RAMP)
    with pytest.raises(OmnitrackError, match=f"{count} depth maps, but the project has 3 frames") as caught:
        open_source(source_of("folder", tmp_path), clip)
    assert "at least 7" in str(caught.value.hint)


def test_identity_is_of_the_content_and_the_names(tmp_path: Path, source_of: SourceOf) -> None:
    settings = source_of("folder", tmp_path)
    assert source_identity(settings) == "missing"
    write(tmp_path / "a.npy", RAMP)
    first = source_identity(settings)
    write(tmp_path / "a.npy", RAMP + 1)
    second = source_identity(settings)
    (tmp_path / "a.npy").rename(tmp_path / "b.npy")
    assert len({first, second, source_identity(settings)}) == 3


def damaged(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".png"])
def test_a_file_cut_short_is_one_clear_error(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"map{suffix}", np.random.default_rng(0).integers(0, 60_000, (40, 50)))
    with pytest.raises(OmnitrackError, match=f"map{suffix}.*(damaged|cut short|truncated)"):
        read_map(damaged(tmp_path / f"map{suffix}"))


def test_what_is_no_map_is_one_clear_error(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    np.savez(tmp_path / "two.npz", a=RAMP, b=RAMP)
    with pytest.raises(OmnitrackError, match=r"two.npz holds the arrays a, b"):
        read_map(tmp_path / "two.npz")
    np.save(tmp_path / "colour.npy", np.zeros((4, 5, 3)))
    with pytest.raises(OmnitrackError, match=r"shape \(4, 5, 3\)"):
        read_map(tmp_path / "colour.npy")
    np.save(tmp_path / "names.npy", np.array([["a", "b"], ["c", "d"]]))
    with pytest.raises(OmnitrackError, match=r"names.npy holds <U1 values"):
        read_map(tmp_path / "names.npy")
    cv2.imwrite(str(tmp_path / "picture.png"), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(OmnitrackError, match=r"picture.png is a picture of 3 channels"):
        read_map(tmp_path / "picture.png")
    (tmp_path / "text.npy").write_text("depth")
    with pytest.raises(OmnitrackError, match=r"cannot read depth map .*text.npy"):
        read_map(tmp_path / "text.npy")


def test_maps_of_another_shape_than_the_frames(
    tmp_path: Path, clip: DepthClip, frame: NDArray[np.uint8], source_of: SourceOf
) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.npy", RAMP.T)
    source = open_source(source_of("folder", tmp_path), clip)
    with pytest.raises(OmnitrackError, match=r"0.npy is 12x16, which is not the shape of frames of 64x48"):
        source.depth(0, frame)


def test_no_folder_no_maps_or_mixed_ones(tmp_path: Path, clip: DepthClip, source_of: SourceOf) -> None:
    with pytest.raises(OmnitrackError, match="needs the folder of the depth maps"):
        open_source(source_of("folder", ""), clip)
    with pytest.raises(OmnitrackError, match=r"nowhere does not exist"):
        open_source(source_of("folder", tmp_path / "nowhere"), clip)
    (tmp_path / "notes.txt").write_text("none here")
    with pytest.raises(OmnitrackError, match="there are no depth maps in"):
        open_source(source_of("folder", tmp_path), clip)
    write(tmp_path / "0.npy", RAMP)
    write(tmp_path / "1.png", RAMP)
    with pytest.raises(OmnitrackError, match=r"maps of several formats \(\.npy, \.png\)"):
        open_source(source_of("folder", tmp_path), clip)
