"""Image files as a video: a folder, a glob, a number pattern, or a single image."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.video.animation import count_pictures
from omnitrack.video.cinema import CINEMA_SUFFIXES, LIGHT_SUFFIXES, read_cinema
from omnitrack.video.images import read_pixels
from omnitrack.video.levels import AUTO_LEVELS, find_levels, notes_on, sample_indices, to_rgb8
from omnitrack.video.numbers import frame_numbers, irregularities, is_number_pattern, natural_order, pattern_files
from omnitrack.video.reader import DEFAULT_FPS, VideoReader
from omnitrack.video.tiff import TIFF_SUFFIXES, read_tiff_picture

_PLAIN = (".png", ".apng", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".jp2")
IMAGE_SUFFIXES = (*_PLAIN, *TIFF_SUFFIXES, *CINEMA_SUFFIXES)
VIDEO_SUFFIXES = (".mp4", ".mov", ".avi", ".webm", ".gif", ".mkv", ".m4v", ".mpg", ".mpeg", ".wmv")


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder in natural order.

    Raises:
        OmnitrackError: There are no images, or one of them is a broken link.
    """
    files = [path for path in folder.iterdir() if not path.name.startswith(".")]
    images = _images(files)
    if not images:
        videos = sorted(path for path in files if path.suffix.lower() in VIDEO_SUFFIXES)
        hint = f"name the video in it: {videos[0]}" if videos else f"known suffixes: {' '.join(IMAGE_SUFFIXES)}"
        raise OmnitrackError(f"folder {folder} holds no images", hint)
    return images


def match_images(pattern: str) -> list[Path]:
    """Return the images that match a glob or a number pattern (``shot.%04d.png``, ``shot.####.png``).

    Raises:
        OmnitrackError: No image matches, or one of them is a broken link.
    """
    path = Path(pattern)
    if is_number_pattern(path.name):
        images = _images(pattern_files(path))
        hint = "a pattern has one place for the number: shot.%04d.png or shot.####.png"
    else:
        images = _images(Path(name) for name in glob.glob(pattern))  # noqa: PTH207 - it may be absolute
        hint = "quote the pattern, for example 'shot/*.png'"
    if not images:
        raise OmnitrackError(f"no image matches {pattern}", hint)
    return images


def _images(paths: Iterable[Path]) -> list[Path]:
    named = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    dead = next((path for path in natural_order(named) if path.is_symlink() and not path.exists()), None)
    if dead:
        raise OmnitrackError(
            f"{dead} is a link to {dead.readlink()}, which is not there", "restore that file, or remove the link"
        )
    return natural_order(path for path in named if path.is_file())


class ImageSequence(VideoReader):
    """Image files as a video.

    Args:
        paths: The files, in order.
        name: Name of the series in messages.
        levels: See `omnitrack.video.levels.find_levels`.

    Raises:
        OmnitrackError: An image cannot be read, differs in size from the first, or is itself a video.
    """

    def __init__(self, paths: list[Path], name: str, levels: str = AUTO_LEVELS) -> None:
        self.paths, self.name = paths, name
        first = _read_still(paths[0])
        self.size = (first.shape[1], first.shape[0])
        self.fps = DEFAULT_FPS
        self.count = len(paths)
        is_light = all(path.suffix.lower() in LIGHT_SUFFIXES for path in paths)
        is_deep = first.dtype != np.uint8
        sampled = (_read_still(paths[index]) for index in (sample_indices(len(paths)) if is_deep else ()))
        self._levels = find_levels(levels, sampled, is_light)
        self.notes = notes_on(self._levels, first.dtype)
        self.numbers = frame_numbers(paths)
        self.warnings = tuple(irregularities(paths, self.numbers, name))

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for path in self.paths:
            frame = to_rgb8(_read_still(path), self._levels)
            size = (frame.shape[1], frame.shape[0])
            if size != self.size:
                raise OmnitrackError(
                    f"{self.name} holds frames of mixed sizes: {path.name} is {size[0]}x{size[1]}, "
                    f"{self.paths[0].name} is {self.size[0]}x{self.size[1]}",
                    "move the images that do not belong to the sequence, or choose those that do with a glob",
                )
            yield frame


def _read_still(path: Path) -> NDArray[Any]:
    """Read the single image of a file as (H, W, C) in its stored bit depth."""
    suffix = path.suffix.lower()
    if suffix in CINEMA_SUFFIXES:
        return read_cinema(path)
    if suffix in TIFF_SUFFIXES:
        return read_tiff_picture(path)
    pixels = read_pixels(path)
    pictures = count_pictures(path)
    if pictures > 1:
        raise OmnitrackError(
            f"image {path} holds {pictures} pictures, one of many files", f"give it alone, as a video: {path}"
        )
    return pixels
