"""Writing videos: .mp4, .webm, .gif, .webp, or numbered .png files, which are either complete or absent."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from omnitrack.atomic import MOST_NAME_BYTES, atomic_path
from omnitrack.errors import OmnitrackError
from omnitrack.video.ffmpeg import Ffmpeg, local_file
from omnitrack.video.images import write_image
from omnitrack.video.numbers import is_number_pattern, numbered_name

Sink = Callable[[NDArray[np.uint8]], None]

_GIF_MAX_FPS = 50.0  # a delay is a whole number of 1/100 s, and browsers slow down any delay below two such units
_TAGS = "range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709"  # so that no player has to guess the colours
_YUV = ["-vf", f"scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams={_TAGS}"]
_H264 = ["-c:v", "libx264", "-crf", "18", "-movflags", "+faststart"]
_VP9 = ["-c:v", "libvpx-vp9", "-crf", "24", "-b:v", "0", "-cpu-used", "4", "-row-mt", "1"]
# One palette per frame: better colours than one per clip, and ffmpeg does not have to keep all frames to compute it.
_PALETTE = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1:dither=sierra2_4a"
_ENCODERS = {
    ".mp4": [*_YUV, *_H264, "-f", "mp4"],
    ".webm": [*_YUV, *_VP9, "-f", "webm"],
    ".webp": ["-c:v", "libwebp_anim", "-loop", "0", "-quality", "75", "-f", "webp"],
    ".gif": ["-filter_complex", f"fps={{fps}},{_PALETTE}", "-f", "gif"],
}
_LOOPS = (".gif", ".webp")  # these loop, and need no even size


class VideoWriter:
    """Writes frames to a video file or to numbered images; a context manager.

    The suffix of `path` selects the format: ``.mp4`` (H.264, plays in browsers), ``.webm`` (VP9), ``.gif`` (at most 50
    frames per second) and ``.webp``, which loop, or a PNG sequence: a directory ``out`` or ``out/`` becomes
    ``out/000000.png``..., a pattern ``out_%04d.png`` or ``out_####.png`` becomes ``out_0000.png``..., and
    ``out.png`` becomes ``out_000000.png``..., or just ``out.png`` for a single frame. Odd sizes gain one repeated row
    or column in .mp4 and .webm, whose colour is subsampled by two.

    Nothing is at `path` until the block ends without an error; a failed block leaves existing files unchanged.
    A sequence never overwrites an existing one.

    Args:
        path: The file, directory or pattern to write.
        fps: Frames per second.
        size: (width, height) of every frame in pixels.

    Raises:
        OmnitrackError: Unknown suffix, existing sequence, no frame written, full disk, or a failure of ffmpeg.
    """

    def __init__(self, path: Path, fps: float, size: tuple[int, int]) -> None:
        self.path, self.fps, self.size = Path(path), fps, size
        suffix = self.path.suffix.lower()
        if suffix in _ENCODERS:
            self._sink = _encode(self.path, fps, size)
        elif suffix in ("", ".png") or self.path.is_dir():
            self._sink = _number_images(self.path)
        else:
            raise OmnitrackError(
                f"cannot write {path}: unknown video format {suffix}",
                f"known: {' '.join(_ENCODERS)} .png, or a directory for numbered .png files",
            )

    def __enter__(self) -> VideoWriter:
        self._write = self._sink.__enter__()
        return self

    def write(self, rgb: NDArray[np.uint8]) -> None:
        """Append one (H, W, 3) uint8 RGB frame."""
        expected = (self.size[1], self.size[0], 3)
        if rgb.shape != expected or rgb.dtype != np.uint8:
            raise ValueError(f"a frame for {self.path} must be uint8 {expected}, not {rgb.dtype} {rgb.shape}")
        self._write(rgb)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.__exit__(kind, error, trace)


@contextmanager
def _encode(path: Path, fps: float, size: tuple[int, int]) -> Iterator[Sink]:
    suffix = path.suffix.lower()
    pad = (0, 0) if suffix in _LOOPS else (size[1] % 2, size[0] % 2)
    geometry = f"{size[0] + pad[1]}x{size[1] + pad[0]}"
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", geometry, "-framerate", f"{fps:.6f}", "-i", "pipe:0"]
    encoder = [argument.format(fps=min(fps, _GIF_MAX_FPS)) for argument in _ENCODERS[suffix]]
    with atomic_path(path) as part, Ffmpeg(*source, *encoder, "-y", local_file(part)) as ffmpeg:
        written = 0

        def write(rgb: NDArray[np.uint8]) -> None:
            nonlocal written
            padded = np.pad(rgb, ((0, pad[0]), (0, pad[1]), (0, 0)), mode="edge") if any(pad) else rgb
            try:
                ffmpeg.stdin.write(padded.tobytes())
            except BrokenPipeError:
                ffmpeg.wait()
                raise _encoder_failed(path, ffmpeg.complaints()) from None
            written += 1

        yield write
        if not written:
            raise _no_frames(path)
        if ffmpeg.wait():
            raise _encoder_failed(path, ffmpeg.complaints())


def _encoder_failed(path: Path, complaints: list[str]) -> OmnitrackError:
    full = [line for line in complaints if "No space left" in line]
    cause = next(iter(full or complaints), "ffmpeg ended early")
    hint = (
        "free some space, or name another place" if full else "choose another format: .mp4, .webm, .gif, .webp or .png"
    )
    return OmnitrackError(f"cannot write {path}: {cause}", hint)


def _no_frames(path: Path) -> OmnitrackError:
    return OmnitrackError(f"cannot write {path}: there are no frames", "choose at least one frame")


@contextmanager
def _number_images(path: Path) -> Iterator[Sink]:
    first = _numbered(path, 0)
    if first.exists():
        raise OmnitrackError(
            f"cannot write {path}: there is a sequence already, it begins with {first}",
            "remove it, or name another place",
        )
    has_room = len(os.fsencode(path.name)) + len(".part.") <= MOST_NAME_BYTES
    partial = path.with_name(f".{path.name if has_room else path.name[:60]}.part")
    numbers = count()

    def write(rgb: NDArray[np.uint8]) -> None:
        write_image(partial / str(next(numbers)), rgb)

    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield write
        written = next(numbers)
        if not written:
            raise _no_frames(path)
        is_still = written == 1 and path.suffix and not is_number_pattern(path.name)
        first.parent.mkdir(parents=True, exist_ok=True)
        for index in range(written):
            (partial / str(index)).replace(path if is_still else _numbered(path, index))
    except OSError as error:
        raise OmnitrackError(
            f"cannot write {path}: {error.strerror or error}", "free some space, or name another place"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _numbered(path: Path, index: int) -> Path:
    """Return the file of frame `index` of the sequence `path`."""
    if is_number_pattern(path.name):
        return path.with_name(numbered_name(path.name, index))
    if path.suffix.lower() == ".png":
        return path.with_name(f"{path.stem}_{index:06d}.png")
    return path / f"{index:06d}.png"
