"""Videos in: a file, a folder of images or a glob becomes a stream of (H, W, 3) uint8 RGB frames."""

from __future__ import annotations

import glob
import re
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.project.ffmpeg import error_lines, local_file, read_log, start_ffmpeg
from omnitrack.project.images import read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm", ".jp2")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".webm", ".gif", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")
DEFAULT_FPS = 24.0  # of images, which carry no rate
SHORT_OF_ANNOUNCED = 0.9  # fewer frames than this share of what the file announces are worth a warning
_ALPHA_FORMATS = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16")  # ffmpeg's pixel formats


class VideoReader(ABC):
    """A stream of frames and what is known about it; a context manager, and iterable more than once.

    Attributes:
        size: (width, height) of the frames in pixels, after the video's rotation.
        fps: Frames per second; the mean where the rate varies.
        count: Number of frames: exact for images, an estimate for video files, None where the file does not tell.
        damage: What was wrong with the file, once an iteration reached its end; None where nothing was.
    """

    size: tuple[int, int]
    fps: float
    count: int | None
    damage: str | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        """Yield (H, W, 3) uint8 RGB frames, from the first."""

    def __length_hint__(self) -> int:
        return self.count or 0

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 - most readers hold nothing open
        """Stop reading."""


def open_video(source: str | Path) -> VideoReader:
    """Open a video for reading, frame by frame.

    Rotation metadata is applied. Alpha is blended over black, grey becomes RGB, deeper pixels are scaled to 8 bits.
    Every stored frame is given once, also where the rate varies. Images are taken in natural order (2 before 10).

    Args:
        source: A video file (anything ffmpeg reads), a folder of images, or a glob that matches images.

    Raises:
        OmnitrackError: Nothing there, or nothing that holds frames.
    """
    path = Path(source)
    if path.is_dir():
        return ImageSequence(list_images(path), f"folder {path}")
    if path.is_file():
        return ImageSequence([path], str(path)) if path.suffix.lower() in IMAGE_SUFFIXES else VideoFile(path)
    if _is_glob(source):
        matches = [Path(name) for name in glob.glob(str(source))]  # noqa: PTH207 - it may be absolute
        images = _natural_order(p for p in matches if p.suffix.lower() in IMAGE_SUFFIXES)
        if not images:
            raise OmnitrackError(f"no image matches {source}", "quote the pattern, for example 'shot/*.png'")
        return ImageSequence(images, str(source))
    raise OmnitrackError(f"there is no video at {source}", "give a video file, a folder of images, or a glob of images")


def default_name(source: str | Path) -> str:
    """What to call a project of this video: the file's name without its suffix, or the folder's name."""
    path = Path(source)
    if path.is_dir():
        return path.resolve().name
    return path.resolve().parent.name if _is_glob(source) else path.stem


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in natural order.

    Raises:
        OmnitrackError: There is none.
    """
    files = [p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    images = _natural_order(p for p in files if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        videos = sorted(p for p in files if p.suffix.lower() in VIDEO_SUFFIXES)
        hint = f"name the video in it: {videos[0]}" if videos else f"known suffixes: {' '.join(IMAGE_SUFFIXES)}"
        raise OmnitrackError(f"folder {folder} holds no images", hint)
    return images


class ImageSequence(VideoReader):
    """Image files as a video.

    Args:
        paths: The files, in order.
        name: What to call them in messages.
    """

    def __init__(self, paths: list[Path], name: str) -> None:
        self.paths, self.name = paths, name
        first = read_image(paths[0])
        self.size = (first.shape[1], first.shape[0])
        self.fps = DEFAULT_FPS
        self.count = len(paths)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for path in self.paths:
            frame = read_image(path)
            size = (frame.shape[1], frame.shape[0])
            if size != self.size:
                raise OmnitrackError(
                    f"{self.name} holds frames of mixed sizes: {path.name} is {size[0]}x{size[1]}, "
                    f"{self.paths[0].name} is {self.size[0]}x{self.size[1]}",
                    "move the images that do not belong to the sequence, or choose those that do with a glob",
                )
            yield frame


class VideoFile(VideoReader):
    """A video file, decoded by ffmpeg.

    Args:
        path: The file.

    Raises:
        OmnitrackError: It is empty, no video, only sound, or has no frame that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process: subprocess.Popen[bytes] | None = None
        if path.stat().st_size == 0:
            raise OmnitrackError(f"{path} is empty (0 bytes)", "copy or export the video again")
        about = self._probe()
        self.fps = _rate(about)
        seconds = _duration(about)
        self.count = round(seconds * self.fps) if seconds else None
        pixel_format = re.search(r"Stream #.*?: Video: [^,]*(?:\([^)]*\))*, (\w+)", about)
        self._has_alpha = bool(pixel_format) and pixel_format[1].startswith(_ALPHA_FORMATS)  # type: ignore[index]
        with closing(self._decode("-frames:v", "1")) as frames:
            first = next(frames, None)
        if first is None:
            raise self._unreadable(self.damage)
        self.size = (first.shape[1], first.shape[0])
        self.damage = None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        decoded = 0
        for frame in self._decode():
            decoded += 1
            yield frame
        if self.damage is None and self.count and decoded < SHORT_OF_ANNOUNCED * self.count:
            self.damage = f"it announces about {self.count} frames and has {decoded}"

    def close(self) -> None:
        """Stop ffmpeg where an iteration was left unfinished."""
        if self._process:
            self._process.kill()

    def _probe(self) -> str:
        with tempfile.TemporaryFile() as log:
            start_ffmpeg(["-i", local_file(self.path)], log).communicate()
            about = read_log(log)
        if "Input #0" not in about:
            raise self._unreadable(next(iter(error_lines(about)), None))
        if ": Video:" not in about:
            raise OmnitrackError(f"{self.path} has no picture, only sound", "give a file that holds a video")
        return about

    def _unreadable(self, cause: str | None) -> OmnitrackError:
        return OmnitrackError(
            f"{self.path} cannot be read as a video: {cause or 'no frame in it can be decoded'}",
            "it is damaged, incomplete or no video: copy or export it again",
        )

    def _decode(self, *limits: str) -> Generator[NDArray[np.uint8], None, None]:
        """Yield frames until ffmpeg ends, then keep its first complaint as `damage`."""
        filters = "format=gbrap,premultiply=inplace=1,format=rgb24" if self._has_alpha else "format=rgb24"
        select = ["-i", local_file(self.path), "-map", "0:V:0", "-vf", filters, "-fps_mode", "passthrough", *limits]
        with tempfile.TemporaryFile() as log:
            self._process = start_ffmpeg([*select, "-f", "image2pipe", "-c:v", "ppm", "pipe:1"], log)
            try:
                assert self._process.stdout is not None
                while (frame := _read_ppm(self._process.stdout)) is not None:
                    yield frame
                self._process.wait()
                self.damage = next(iter(error_lines(read_log(log))), None)
            finally:
                self._process.kill()
                self._process.communicate()
                self._process = None


def _read_ppm(stream: IO[bytes]) -> NDArray[np.uint8] | None:
    """The next frame of a stream of binary PPM images, None at its end."""
    if stream.readline() != b"P6\n":
        return None
    width, height = map(int, stream.readline().split())
    stream.readline()  # the largest value, 255
    data = stream.read(width * height * 3)
    return np.frombuffer(data, np.uint8).reshape(height, width, 3) if len(data) == width * height * 3 else None


def _rate(about: str) -> float:
    """Frames per second from what ffmpeg says of a file: its mean rate, else its nominal one."""
    found = re.search(r": Video: .*?([\d.]+)(k?) fps", about) or re.search(r": Video: .*?([\d.]+)(k?) tbr", about)
    if not found:
        return DEFAULT_FPS
    printed = float(found[1]) * (1000 if found[2] else 1)
    nominal = round(printed * 1.001)
    ntsc = nominal * 1000 / 1001  # ffmpeg prints two decimals: 29.97 stands for 30000 / 1001
    return ntsc if round(ntsc, 2) == printed else printed


def _duration(about: str) -> float | None:
    """Seconds, None where the file does not tell."""
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", about)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _is_glob(source: str | Path) -> bool:
    return any(sign in str(source) for sign in "*?[")


def _natural_order(paths: Iterator[Path]) -> list[Path]:
    def key(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]

    return sorted(paths, key=key)
