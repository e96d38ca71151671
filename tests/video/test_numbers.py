"""Series of images: order, numbers, patterns, and missing or duplicate ones."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.video.numbers import frame_numbers, natural_order, ranges
from omnitrack.video.reading import default_name, open_video


def make(folder: Path, *names: str) -> Path:
    """Write images whose grey level is their index in `names`."""
    for level, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((8, 10, 3), 10 * level, np.uint8))
    return folder


def opened(source: Path | str) -> tuple[list[int] | None, list[str], list[int]]:
    """Return numbers, warnings and grey levels."""
    with open_video(source) as reader:
        return reader.numbers, list(reader.warnings), [int(frame[0, 0, 0]) for frame in reader]


def paths(*names: str) -> list[Path]:
    return [Path(name) for name in names]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([7], "7"), ([1005, 1006], "1005-1006"), ([1, 2, 3, 5, 9, 10], "1-3, 5, 9-10"), ([], "")],
)
def test_ranges(numbers: list[int], text: str) -> None:
    assert ranges(numbers) == text


def test_ranges_stay_short() -> None:
    assert ranges(list(range(0, 100, 2))) == "0, 2, 4, 6, 8, 10, 12, 14 and more"


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("shot.1001.png", "shot.1002.png"), [1001, 1002]),
        (("v2_007.png", "v2_010.png"), [7, 10]),
        (("0001_left.png", "0002_left.png"), [1, 2]),
        (("f1_1080.png", "f2_1080.png"), [1, 2]),
        (("1.png", "001.jpg"), [1, 1]),
        (("frame7.png",), [7]),
        (("a.png", "b.png"), None),
        (("a1.png", "b2.png"), None),
        (("2024-01-31.png", "2024-02-01.png"), None),
    ],
)
def test_the_number_of_a_frame_is_what_counts_in_its_name(names: tuple[str, ...], numbers: list[int] | None) -> None:
    assert frame_numbers(paths(*names)) == numbers


def test_two_comes_before_ten() -> None:
    ordered = ["a1", "a2", "a10", "a10b", "b1"]
    assert natural_order(paths(*reversed(ordered))) == paths(*ordered)


def test_a_gap_is_named_and_numbers_are_kept(tmp_path: Path) -> None:
    names = [f"shot.{number}.png" for number in (*range(1001, 1005), *range(1007, 1013))]
    numbers, warnings, _ = opened(make(tmp_path, *names))
    assert numbers == [*range(1001, 1005), *range(1007, 1013)]
    assert len(warnings) == 1
    assert "has no image 1005-1006" in warnings[0]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ((0, 5, 10, 15), None),
        ((0, 5, 10, 20, 25), "15"),
        ((0, 1, 2, 4, 5, 9), "3, 6-8"),
        ((120000, 120003, 120101, 120412, 130000), None),  # times, without a constant step
        ((10, 11), None),
    ],
)
def test_what_is_missing_goes_by_the_step(tmp_path: Path, numbers: tuple[int, ...], missing: str | None) -> None:
    _, warnings, _ = opened(make(tmp_path, *(f"f_{number}.png" for number in numbers)))
    assert [missing in warning for warning in warnings] == ([True] if missing else [])
    if missing:
        assert f"has no image {missing}:" in warnings[0]


@pytest.mark.parametrize("names", [("s.1.png", "s.2.png", "s.2.jpg", "s.3.png"), ("1.png", "2.png", "02.png", "3.png")])
def test_two_images_of_one_number_are_named(tmp_path: Path, names: tuple[str, ...]) -> None:
    numbers, warnings, _ = opened(make(tmp_path, *names))
    assert numbers == [1, 2, 2, 3]
    assert len(warnings) == 1
    assert "more than one image of a number" in warnings[0]
    assert names[1] in warnings[0] and names[2] in warnings[0]


def test_names_of_two_kinds_are_named(tmp_path: Path) -> None:
    numbers, warnings, _ = opened(make(tmp_path, "a1.png", "a2.png", "a3.png", "b1.png", "b2.png"))
    assert numbers is None
    assert "2 kinds: a# (3), b# (2)" in warnings[0]


@pytest.mark.parametrize("target", ["gone.png", "shot.1002.png"], ids=["gone", "itself"])
def test_a_dead_link_is_an_error(tmp_path: Path, target: str) -> None:
    make(tmp_path, "shot.1001.png", "shot.1003.png")
    (tmp_path / "shot.1002.png").symlink_to(target)
    for source in (tmp_path, tmp_path / "*.png", tmp_path / "shot.%04d.png"):
        with pytest.raises(OmnitrackError, match=r"shot\.1002\.png is a link to") as caught:
            opened(source)
        assert caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "levels"),
    [
        ("s.%04d.png", [10, 20, 30]),
        ("s.####.png", [10, 20, 30]),
        ("s.%d.png", [0, 10, 20, 30]),
        ("s.#.png", [0, 10, 20, 30]),
        ("s.%05d.png", [30]),
    ],
)
def test_a_pattern_of_numbers(tmp_path: Path, pattern: str, levels: list[int]) -> None:
    make(tmp_path, "s.7.png", "s.0008.png", "s.0010.png", "s.10001.png", "s.0009.jpg", "other.0011.png", "s.0012b.png")
    with open_video(tmp_path / pattern) as reader:
        assert [int(frame[0, 0, 0]) for frame in reader] == levels


def test_a_pattern_that_matches_nothing_says_so(tmp_path: Path) -> None:
    for source in (tmp_path / "s.%04d.png", tmp_path / "nowhere" / "s.##.png"):
        with pytest.raises(OmnitrackError, match="no image matches") as caught:
            open_video(source)
        assert "%04d" in (caught.value.hint or "")


def test_a_file_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    make(tmp_path, "s.0001.png", "s.####.png")
    assert opened(tmp_path / "s.####.png")[2] == [10]
    assert default_name(tmp_path / "s.####.png") == "s.####"


@pytest.mark.parametrize(
    ("source", "name"), [("a/shot.%04d.png", "shot"), ("a/shot_v2.####.exr", "shot_v2"), ("a/%06d.png", "a")]
)
def test_a_pattern_names_its_project(source: str, name: str) -> None:
    assert default_name(source) == name
