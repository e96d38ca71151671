"""Shared fixtures: a tiny textured clip with known motion, as frames, as a video file and as a project."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from omnitrack.correspondence.flows import FlowSource
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import SyntheticScene

CLIP_FRAMES, CLIP_SIZE, CLIP_FPS, CLIP_SHIFT = 8, (64, 48), 12.0, (2, 1)


def pytest_configure() -> None:
    """Limit torch to one thread, and give compiled kernels their own cache, here and in programs that tests start.

    On arrays this small, threads gain nothing, and on a busy machine they wait for each other: 100 times slower.
    Kernels for a GPU are interpreted if there is none; Triton checks the variable when they are imported.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not torch.cuda.is_available():
        os.environ.setdefault("TRITON_INTERPRET", "1")
    # numba checks only the file of a function, not those of what it calls and reads: key its cache by the text of all
    package = Path(__file__).parents[1] / "omnitrack"
    rooms = package / "motion" / "fused", package / "correspondence", package / "correspondence" / "compiled"
    kernels = [package / "compiling.py", *(path for room in rooms for path in sorted(room.glob("*.py")))]
    text = hashlib.sha256(b"".join(path.read_bytes() for path in kernels)).hexdigest()[:12]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"omnitrack-numba-{text}"))


@pytest.fixture(scope="module", autouse=True)
def little_to_collect() -> None:
    """Exempt what exists before a module's tests from garbage collection, with which every product of a project ends.

    That is half a million objects of pytest and of the libraries.
    """
    gc.collect()
    gc.freeze()


def textured_clip(
    count: int = CLIP_FRAMES, size: tuple[int, int] = CLIP_SIZE, shift: tuple[int, int] = CLIP_SHIFT
) -> NDArray[np.uint8]:
    """Return (T, H, W, 3) uint8 RGB: a smooth random texture that moves by exactly `shift` = (x, y) px per frame."""
    width, height = size
    reach = np.abs(shift) * count
    noise = np.random.default_rng(7).random((height + reach[1] + 8, width + reach[0] + 8, 3))
    kernel = np.array([1, 4, 6, 4, 1]) / 16  # binomial: enough blur for flow to follow, enough contrast to be visible
    for axis in (0, 1):
        noise = np.apply_along_axis(np.convolve, axis, noise, kernel, "same")
    low, high = noise.min(), noise.max()
    canvas = np.rint(255 * (noise - low) / (high - low)).astype(np.uint8)
    x0 = [4 + (reach[0] if shift[0] > 0 else 0) - shift[0] * t for t in range(count)]
    y0 = [4 + (reach[1] if shift[1] > 0 else 0) - shift[1] * t for t in range(count)]
    return np.stack([canvas[y : y + height, x : x + width] for x, y in zip(x0, y0, strict=True)])


def encode_clip(path: Path, frames: NDArray[np.uint8], *options: str, fps: float = CLIP_FPS) -> Path:
    """Encode (T, H, W, 3) frames with ffmpeg, so that readers are tested on files that omnitrack has not written."""
    height, width = frames.shape[1:3]
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    run_ffmpeg(*raw, *options, str(path), stdin=frames.tobytes())
    return path


def run_ffmpeg(*arguments: str, stdin: bytes = b"") -> None:
    """Run ffmpeg directly; a failure is an error."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([program, "-v", "error", "-y", *arguments], input=stdin, check=True, capture_output=True)


class ExactFlows(FlowSource):
    """The flow of a synthetic scene as a `FlowSource`: for the given ordered pairs, or for all pairs."""

    def __init__(self, scene: SyntheticScene, pairs: set[tuple[int, int]] | None = None) -> None:
        self.size = scene.size
        self._scene = scene
        self._pairs = pairs
        self._known: dict[tuple[int, int], NDArray[np.float32]] = {}

    def has(self, source: int, target: int) -> bool:
        frames = range(self._scene.num_frames)
        there = source in frames and target in frames and source != target
        return there and (self._pairs is None or (source, target) in self._pairs)

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        assert self.has(source, target), f"nobody may ask for {source} -> {target}"
        if (source, target) not in self._known:
            self._known[source, target] = self._scene.flow(source, target)[0]
        return self._known[source, target]


@pytest.fixture(scope="session")
def exact_flows() -> type[ExactFlows]:
    """The class `ExactFlows`."""
    return ExactFlows


@pytest.fixture(name="textured_clip")
def textured_clip_fixture() -> Callable[..., NDArray[np.uint8]]:
    """The function `textured_clip`, for clips of other lengths, sizes and motions."""
    return textured_clip


@pytest.fixture(name="encode_clip")
def encode_clip_fixture() -> Callable[..., Path]:
    """The function `encode_clip`."""
    return encode_clip


@pytest.fixture(name="run_ffmpeg")
def run_ffmpeg_fixture() -> Callable[..., None]:
    """The function `run_ffmpeg`."""
    return run_ffmpeg


@pytest.fixture
def clip() -> NDArray[np.uint8]:
    """(8, 48, 64, 3) uint8 RGB; every point moves by (2, 1) pixels per frame."""
    return textured_clip()


@pytest.fixture
def video_file(tmp_path: Path, clip: NDArray[np.uint8]) -> Path:
    """`clip` at 12 frames per second in a losslessly encoded .mp4."""
    return encode_clip(tmp_path / "clip.mp4", clip, "-c:v", "libx264rgb", "-qp", "0")


@pytest.fixture
def project(tmp_path: Path, clip: NDArray[np.uint8]) -> Project:
    """A project of `clip` at its original size, with default settings."""
    root = tmp_path / "project"
    init_from_frames(clip, root, Settings(), CLIP_FPS, "clip")
    return Project(root)
