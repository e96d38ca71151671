"""Videos in: a file, a folder of images or a glob becomes a stream of (H, W, 3) uint8 RGB frames.

`VideoWriter`, the way out, is in its own file and can be had from here.
"""

from __future__ import annotations

import glob
import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.ffmpeg import Ffmpeg, input_file
from omnitrack.video.images import read_image, to_rgb8
from omnitrack.video.reader import DEFAULT_FPS, VideoReader
from omnitrack.video.several import TIFF_SUFFIXES, AnimatedImage, TiffStack, count_pictures
from omnitrack.video.writing import VideoWriter

__all__ = ["VideoReader", "VideoWriter", "default_name", "open_video"]

IMAGE_SUFFIXES = (".png", ".apng", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".ppm", ".pgm", ".jp2")
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".webm", ".gif", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")
SHORT_OF_ANNOUNCED = 0.9  # fewer frames than this share of what the file announces are worth a warning
_ALPHA_FORMATS = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16")  # ffmpeg's pixel formats


def open_video(source: str | Path) -> VideoReader:
    """Open a video for reading, frame by frame.

    Rotation metadata is applied. Alpha is blended over black, grey becomes RGB, deeper pixels are scaled to 8 bits.
    Every stored frame is given once, also where the rate varies. Images are taken in natural order (2 before 10).

    Args:
        source: A video file (anything ffmpeg reads), an animated PNG or WebP, a TIFF stack, a folder of images, or a
            glob that matches images.

    Raises:
        OmnitrackError: Nothing there, or nothing that holds frames.
    """
    path = Path(source)
    if path.is_dir():
        return ImageSequence(list_images(path), f"folder {path}")
    if path.is_file():
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            return VideoFile(path)
        if count_pictures(path) == 1:
            return ImageSequence([path], str(path))
        return TiffStack(path) if path.suffix.lower() in TIFF_SUFFIXES else AnimatedImage(path)
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
    is_pattern = _is_glob(source) and not path.is_file()  # a file may be called clip[1].mp4
    return path.resolve().parent.name if is_pattern else path.stem


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
        self._running: Ffmpeg | None = None
        if path.stat().st_size == 0:
            raise OmnitrackError(f"{path} is empty (0 bytes)", "copy or export the video again")
        stream, seconds = self._probe()
        self.fps = _rate(stream)
        self.count = round(seconds * self.fps) if seconds else None
        if not re.search(r"[\d.]k? fps", stream):  # recorded by a browser: what is left is the unit of the time stamps
            times = self._stored_times()
            self.count = len(times) or None
            self.fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else DEFAULT_FPS
        if ": Video: gif" in stream and seconds and (stored := self._count_stored()):
            self.count, self.fps = stored, stored / seconds  # each frame has a delay; ffmpeg's rate is up to 10 % off
        pixel_format = re.search(r": Video: [^,]*, (\w+)", stream)
        self._has_alpha = pixel_format is not None and pixel_format[1].startswith(_ALPHA_FORMATS)
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
        short = self.damage is None and self.count and decoded < SHORT_OF_ANNOUNCED * self.count
        if short and not self._sound_is_longer(decoded / self.fps):
            self.damage = f"it announces about {self.count} frames and has {decoded}"

    def close(self) -> None:
        """Stop ffmpeg where an iteration was left unfinished."""
        if self._running:
            self._running.stop()

    def _probe(self) -> tuple[str, float | None]:
        """What ffmpeg says of the video stream, and the duration in seconds where the file tells it."""
        with Ffmpeg(*input_file(self.path)) as probe:
            probe.wait()
            about, complaints = probe.log(), probe.complaints()
        if "Input #0" not in about:
            raise self._unreadable(next(iter(complaints), None))
        streams = [line for line in about.splitlines() if ": Video: " in line and "(attached pic)" not in line]
        if not streams:
            raise OmnitrackError(f"{self.path} holds no video (only sound?)", "give a file that holds a video")
        return streams[0], _duration(about)

    def _count_stored(self) -> int | None:
        """Number of frames in the file, from a pass that decodes none."""
        with Ffmpeg(*input_file(self.path), "-map", "0:V:0", "-c", "copy", "-f", "null", "-") as reading:
            reading.wait()
            counts = re.findall(r"frame= *(\d+)", reading.log())
        return int(counts[-1]) if counts else None

    def _stored_times(self) -> list[float]:
        """Time stamps of the stored frames in seconds, in order, from a pass that decodes none."""
        copied = ("-map", "0:V:0", "-c", "copy", "-f", "framecrc", "pipe:1")
        with Ffmpeg(*input_file(self.path), *copied) as reading:
            lines = reading.stdout.read().decode("ascii", "replace").splitlines()
        unit = next((line.split(":")[1].split("/") for line in lines if line.startswith("#tb")), ["1", "1"])
        stamps = {int(line.split(",")[2]) for line in lines if line[:1].isdigit()}
        return [stamp * int(unit[0]) / int(unit[1]) for stamp in sorted(stamps)]

    def _sound_is_longer(self, seconds: float) -> bool:
        """Whether the file's sound goes on after its pictures have ended; then its duration is that of the sound."""
        with Ffmpeg(*input_file(self.path), "-map", "0:a:0?", "-c", "copy", "-f", "null", "-") as reading:
            reading.wait()
            found = re.findall(r"time=(\d+):(\d+):([\d.]+)", reading.log())
        return bool(found) and int(found[-1][0]) * 3600 + int(found[-1][1]) * 60 + float(found[-1][2]) > seconds / 0.9

    def _unreadable(self, cause: str | None) -> OmnitrackError:
        return OmnitrackError(
            f"{self.path} cannot be read as a video: {cause or 'no frame in it can be decoded'}",
            "it is damaged, incomplete or no video: copy or export it again",
        )

    def _decode(self, *limits: str) -> Generator[NDArray[np.uint8], None, None]:
        """Yield frames until ffmpeg ends, then keep its first complaint as `damage`."""
        stream = [*input_file(self.path), "-map", "0:V:0", "-fps_mode", "passthrough", *limits]
        images = ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", "rgba" if self._has_alpha else "rgb24", "pipe:1"]
        with Ffmpeg(*stream, *images) as decoder:
            self._running = decoder
            while (pixels := _read_pam(decoder.stdout)) is not None:
                yield to_rgb8(pixels)
            decoder.wait()
            self.damage = next(iter(decoder.complaints()), None)


def _read_pam(stream: IO[bytes]) -> NDArray[np.uint8] | None:
    """The next image (H, W, 3 or 4) of a stream of PAM images, None at its end."""
    if stream.readline() != b"P7\n":
        return None
    header = {}
    while (line := stream.readline().split()) != [b"ENDHDR"] and line:
        header[line[0]] = line[-1]
    if not line:
        return None
    shape = (int(header[b"HEIGHT"]), int(header[b"WIDTH"]), int(header[b"DEPTH"]))
    data = stream.read(math.prod(shape))
    return np.frombuffer(data, np.uint8).reshape(shape) if len(data) == math.prod(shape) else None


def _rate(stream: str) -> float:
    """Frames per second from what ffmpeg says of a stream: its mean rate, else its nominal one."""
    found = re.search(r"([\d.]+)(k?) fps", stream) or re.search(r"([\d.]+)(k?) tbr", stream)
    if not found:
        return DEFAULT_FPS
    printed = float(found[1]) * (1000 if found[2] else 1)
    ntsc = round(printed * 1.001) * 1000 / 1001  # ffmpeg prints two decimals: 29.97 stands for 30000 / 1001
    return ntsc if round(ntsc, 2) == printed and not printed.is_integer() else printed


def _duration(about: str) -> float | None:
    """Seconds, None where the file does not tell."""
    found = re.search(r"Duration: (\d+):(\d+):([\d.]+)", about)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None


def _is_glob(source: str | Path) -> bool:
    return any(sign in str(source) for sign in "*?[")


def _natural_order(paths: Iterator[Path]) -> list[Path]:
    def key(path: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", str(path))]

    return sorted(paths, key=key)
