"""Odd videos pass through every stage, or are refused in one clear sentence; they never crash the program."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from steps import SMALL, STAGES, TIMES
from zygote import Ended, Zygote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked")
SETTINGS = [f"--set={key}={value}" for key, value in {**SMALL, "fit.steps": "2", "init.max_size": "0"}.items()]
LEAST_SIDE = 8
SIZES = [(17, 8), (64, 1)]
MORE_SIZES = [
    (8, 8),
    (900, 8),
    (17, 13),
    (1, 1),
    (3000, 8),
    (8, 500),
    (7, 64),
    (8, 1900),
    (9, 8),
    (8, 31),
    *((width, height) for width in range(1, 11) for height in range(1, 11)),
]

ALWAYS = ("16 bit",)  # contents tested in a normal test run


def noise(size: tuple[int, int], count: int = 3) -> NDArray[np.uint8]:
    """Return random frames (count, height, width, 3)."""
    return np.random.default_rng(0).integers(0, 256, (count, size[1], size[0], 3), dtype=np.uint8)


def write(folder: Path, frames: NDArray[np.generic], suffix: str = ".png") -> Path:
    """Write the frames as images into a folder."""
    folder.mkdir()
    for t, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / f"{t}{suffix}"), frame)
    return folder


def all_stages(zygote: Zygote, video: Path, root: Path) -> Ended:
    """Run one stage after another until one fails; return how the last one ended."""
    ended = zygote.command("init", video, root, *SETTINGS)
    for stage, more in STAGES.items():
        if ended.status:
            break
        ended = zygote.command(stage, root, *more)
    return ended


@pytest.mark.parametrize("size", SIZES if TIMES == 1 else sorted({*SIZES, *MORE_SIZES}), ids=str)
def test_sizes(zygote: Zygote, tmp_path: Path, size: tuple[int, int], tried: Callable[[str], None]) -> None:
    ended = all_stages(zygote, write(tmp_path / "frames", noise(size)), tmp_path / "clip")
    assert ended.is_clear, ended.said
    assert (ended.status == 0) == (min(size) >= LEAST_SIDE), ended.said
    tried("odd inputs")


def contents_of_frames() -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Yield frames without visible motion, by name."""
    size = 32, 24
    still = noise(size)[:1].repeat(4, 0)
    yield "black", np.zeros((4, 24, 32, 3), np.uint8)
    yield "white", np.full((4, 24, 32, 3), 255, np.uint8)
    yield "still", still
    yield "noise", noise(size, 4)
    yield "flash", np.stack([still[0], still[0] // 4, still[0] | 128, still[0]])
    yield "one black frame", np.stack([still[0], still[0] * 0, still[0], still[0]])
    yield "two frames", still[:2]
    yield "stripes", np.tile(np.array([0, 255], np.uint8).repeat(2), (4, 24, 8))
    yield "grey", still[..., 0]
    yield "16 bit", still.astype(np.uint16) * 257
    yield "alpha", np.concatenate([still, still[..., :1]], -1)


CONTENTS = [pytest.param(*case, id=case[0]) for case in contents_of_frames() if TIMES != 1 or case[0] in ALWAYS]


@pytest.mark.parametrize(("name", "frames"), CONTENTS)
def test_contents(
    zygote: Zygote, tmp_path: Path, name: str, frames: NDArray[np.generic], tried: Callable[[str], None]
) -> None:
    ended = all_stages(zygote, write(tmp_path / "frames", frames), tmp_path / "clip")
    assert ended.is_clear, ended.said
    tried("odd inputs")


def odd_sources(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield files that are not videos, by name."""
    (folder / "empty.mp4").touch()
    yield "empty file", folder / "empty.mp4"
    (folder / "text.mp4").write_text("ffconcat version 1.0\nfile other.mp4\n")
    yield "list of files", folder / "text.mp4"
    (folder / "readme.txt").write_text("nothing to see\n" * 50)
    yield "text", folder / "readme.txt"
    (folder / "random.mkv").write_bytes(np.random.default_rng(1).bytes(5000))
    yield "random bytes", folder / "random.mkv"
    (folder / "none").mkdir()
    yield "empty folder", folder / "none"
    write(folder / "one", noise((16, 16), 1))
    yield "one image", folder / "one"
    write(folder / "mixed", noise((16, 16), 2))
    cv2.imwrite(str(folder / "mixed" / "2.png"), noise((20, 16), 1)[0])
    yield "two sizes", folder / "mixed"
    write(folder / "broken", noise((16, 16), 3))
    (folder / "broken" / "1.png").write_bytes((folder / "broken" / "1.png").read_bytes()[:200])
    yield "cut image", folder / "broken"
    yield "nothing", folder / "nothing.mp4"
    yield "a name too long", folder / ("n" * 300)
    yield "a device", Path("/dev/null")


def test_sources(zygote: Zygote, tmp_path: Path, tried: Callable[[str], None]) -> None:
    for number, (name, source) in enumerate(odd_sources(tmp_path)):
        ended = zygote.command("init", source, tmp_path / f"clip{number}")
        assert ended.status == 1 and ended.is_clear, (name, ended.said)
        assert not (tmp_path / f"clip{number}").exists()
        tried("odd inputs")
