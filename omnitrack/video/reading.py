"""Reading videos: a file, a folder of images, a glob or a number pattern as a stream of (H, W, 3) uint8 RGB frames.

`VideoWriter`, the counterpart, has its own module and is also exported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.animation import AnimatedImage, count_pictures
from omnitrack.video.ffmpeg import Ffmpeg, input_file
from omnitrack.video.image_series import IMAGE_SUFFIXES, ImageSequence, list_images, match_images
from omnitrack.video.levels import AUTO_LEVELS, SAMPLED_FRAMES, find_levels, notes_on, to_rgb8
from omnitrack.video.numbers import is_number_pattern, pattern_name
from omnitrack.video.reader import DEFAULT_FPS, VideoReader
from omnitrack.video.stream import has_open_depth, pixel_format, stream_rate, stream_warnings
from omnitrack.video.tiff import TIFF_SUFFIXES, open_tiff
from omnitrack.video.writing import VideoWriter

__all__ = ["VideoReader", "VideoWriter", "default_name", "open_video"]

SHORT_OF_ANNOUNCED = 0.9  # share of the announced frames, below which the file counts as damaged
_ALPHA_FORMATS = ("yuva", "gbrap", "rgba", "bgra", "argb", "abgr", "ya8", "ya16")  # ffmpeg's pixel formats


def open_video(source: str | Path, levels: str = AUTO_LEVELS) -> VideoReader:
    """Open a video for reading, frame by frame.

    Rotation metadata is applied. Alpha is blended over black, grey becomes RGB, deeper pixels are scaled to 8 bits.
    Every stored frame is returned once, even if the rate varies. Images are in natural order (2 before 10).

    Args:
        source: A video file (anything ffmpeg reads), an animated PNG or WebP, a TIFF stack, a folder of images, a glob
            that matches images, or a number pattern (``shot.%04d.png``, ``shot.####.png``).
        levels: Which stored values become black and white: ``auto`` or ``LOW,HIGH``, see
            `omnitrack.video.levels.find_levels`. If a video's pixel format gives its depth, these are 8-bit values.

    Raises:
        OmnitrackError: There is nothing at `source`, it contains no frames, or the levels are invalid.
    """
    path = Path(source)
    if path.is_dir():
        images = list_images(path)
        return ImageSequence(images, f"folder {path}", levels) if len(images) > 1 else _open_file(images[0], levels)
    if path.is_file():
        return _open_file(path, levels)
    if _is_pattern(source):
        return ImageSequence(match_images(str(source)), str(source), levels)
    raise OmnitrackError(f"there is no video at {source}", "give a video file, a folder of images, or a glob of images")


def _open_file(path: Path, levels: str) -> VideoReader:
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        return VideoFile(path, levels)
    if suffix in TIFF_SUFFIXES:
        return open_tiff(path, levels)
    return ImageSequence([path], str(path), levels) if count_pictures(path) == 1 else AnimatedImage(path, levels)


def default_name(source: str | Path) -> str:
    """Return the default name of a video's project: its file, folder or series, without suffix and number."""
    path = Path(source)
    if path.is_dir():
        return path.resolve().name
    if path.is_file() or not _is_pattern(source):  # a file may be called clip[1].mp4
        return path.stem
    return (is_number_pattern(path.name) and pattern_name(path.name)) or path.resolve().parent.name


def _is_pattern(source: str | Path) -> bool:
    return any(sign in str(source) for sign in "*?[") or is_number_pattern(Path(source).name)


class VideoFile(VideoReader):
    """A video file, decoded by ffmpeg.

    Args:
        path: The file.
        levels: See `omnitrack.video.levels.find_levels`.

    Raises:
        OmnitrackError: The file is empty, not a video, audio only, or has no frame that can be decoded.
    """

    def __init__(self, path: Path, levels: str = AUTO_LEVELS) -> None:
        self.path = path
        self._running: Ffmpeg | None = None
        if path.stat().st_size == 0:
            raise OmnitrackError(f"{path} is empty (0 bytes)", "copy or export the video again")
        stream, seconds = self._probe()
        self.fps = stream_rate(stream)
        self.count = round(seconds * self.fps) if seconds else None
        if not re.search(r"[\d.]k? fps", stream):  # recorded by a browser: the only rate is the time stamps' unit
            times = self._stored_times()
            self.count = len(times) or None
            self.fps = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else DEFAULT_FPS
        if ": Video: gif" in stream and seconds and (stored := self._count_stored()):
            self.count, self.fps = stored, stored / seconds  # each frame has a delay; ffmpeg's rate is up to 10 % off
        self._has_alpha = pixel_format(stream).startswith(_ALPHA_FORMATS)
        self._is_deep = has_open_depth(stream)
        self.warnings = stream_warnings(stream, path)
        with closing(self._decode("-frames:v", "1")) as frames:
            first = next(frames, None)
        if first is None:
            raise self._unreadable(self.damage)
        self.size = (first.shape[1], first.shape[0])
        self._levels = find_levels(levels, self._sample() if self._is_deep else ())
        self.notes = notes_on(self._levels, first.dtype)
        self.damage = None

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        decoded = 0
        for pixels in self._decode():
            decoded += 1
            yield to_rgb8(pixels, self._levels)
        short = self.damage is None and self.count and decoded < SHORT_OF_ANNOUNCED * self.count
        if short and not self._sound_is_longer(decoded / self.fps):
            self.damage = f"it announces about {self.count} frames and has {decoded}"

    def close(self) -> None:
        """Stop ffmpeg if an iteration was left unfinished."""
        if self._running:
            self._running.stop()

    def _probe(self) -> tuple[str, float | None]:
        """Return ffmpeg's log line of the video stream, and the duration in seconds; None if the file has none."""
        with Ffmpeg(*input_file(self.path)) as probe:
            probe.wait()
            about, complaints, streams = probe.log(), probe.complaints(), probe.video_streams()
        if "Input #0" not in about:
            raise self._unreadable(next(iter(complaints), None))
        streams = [line for line in streams if "(attached pic)" not in line]
        if not streams:
            raise OmnitrackError(f"{self.path} holds no video (only sound?)", "give a file that holds a video")
        return streams[0], _duration(about)

    def _count_stored(self) -> int | None:
        """Return the number of frames in the file, from a pass without decoding."""
        with Ffmpeg(*input_file(self.path), "-map", "0:V:0", "-c", "copy", "-f", "null", "-") as reading:
            reading.wait()
            counts = re.findall(r"frame= *(\d+)", reading.log())
        return int(counts[-1]) if counts else None

    def _stored_times(self) -> list[float]:
        """Return the time stamps of the stored frames in seconds, in order, from a pass without decoding."""
        copied = ("-map", "0:V:0", "-c", "copy", "-f", "framecrc", "pipe:1")
        with Ffmpeg(*input_file(self.path), *copied) as reading:
            lines = reading.stdout.read().decode("ascii", "replace").splitlines()
        unit = next((line.split(":")[1].split("/") for line in lines if line.startswith("#tb")), ["1", "1"])
        stamps = {int(line.split(",")[2]) for line in lines if line[:1].isdigit()}
        return [stamp * int(unit[0]) / int(unit[1]) for stamp in sorted(stamps)]

    def _sound_is_longer(self, seconds: float) -> bool:
        """Whether the audio continues after the last frame; the file's duration is then that of the audio."""
        with Ffmpeg(*input_file(self.path), "-map", "0:a:0?", "-c", "copy", "-f", "null", "-") as reading:
            reading.wait()
            found = re.findall(r"time=(\d+):(\d+):([\d.]+)", reading.log())
        return bool(found) and int(found[-1][0]) * 3600 + int(found[-1][1]) * 60 + float(found[-1][2]) > seconds / 0.9

    def _unreadable(self, cause: str | None) -> OmnitrackError:
        return OmnitrackError(
            f"{self.path} cannot be read as a video: {cause or 'no frame in it can be decoded'}",
            "it is damaged, incomplete or no video: copy or export it again",
        )

    def _sample(self) -> Iterator[NDArray[Any]]:
        """Return frames that represent the clip, evenly spread."""
        step = max(1, (self.count or 0) // SAMPLED_FRAMES)
        return self._decode("-vf", f"select=not(mod(n\\,{step}))")

    def _decode(self, *options: str) -> Generator[NDArray[Any], None, None]:
        """Yield images (H, W, C) until ffmpeg ends, then store its first error in `damage`."""
        stream = [*input_file(self.path), "-map", "0:V:0", "-fps_mode", "passthrough", *options]
        formats = ("rgba64be", "rgb48be") if self._is_deep else ("rgba", "rgb24")
        images = ["-f", "image2pipe", "-c:v", "pam", "-pix_fmt", formats[0 if self._has_alpha else 1], "pipe:1"]
        with Ffmpeg(*stream, *images) as decoder:
            self._running = decoder
            while (pixels := _read_pam(decoder.stdout)) is not None:
                yield pixels
            decoder.wait()
            self.damage = next(iter(decoder.complaints()), None)


def _read_pam(stream: IO[bytes]) -> NDArray[Any] | None:
    """Read the next image (H, W, 3 or 4) with 8 or 16 bits from a stream of PAM images; None at its end."""
    if stream.readline() != b"P7\n":
        return None
    header = {}
    while (line := stream.readline().split()) != [b"ENDHDR"] and line:
        header[line[0]] = line[-1]
    if not line:
        return None
    shape = (int(header[b"HEIGHT"]), int(header[b"WIDTH"]), int(header[b"DEPTH"]))
    is_deep = int(header[b"MAXVAL"]) > 255
    size = math.prod(shape) * (2 if is_deep else 1)
    data = stream.read(size)
    if len(data) != size:
        return None
    pixels = np.frombuffer(data, ">u2" if is_deep else np.uint8).reshape(shape)
    return pixels.astype(np.uint16) if is_deep else pixels


def _duration(about: str) -> float | None:
    """Return the duration in seconds; None if the file has none."""
    found = re.search(r"^\[info\] +Duration: (\d+):(\d+):([\d.]+)", about, re.MULTILINE)
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3]) if found else None
