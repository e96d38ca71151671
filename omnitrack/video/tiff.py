"""TIFF stacks: read by tifffile if it is installed, else by OpenCV, if OpenCV reads the layout correctly.

Of 37 layouts with known values tifffile reads all, OpenCV 28: it supports no axes, no planes behind a single page and
no thumbnails, and it misreads 16-bit white-is-zero and planar colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import PIXEL_BYTES
from omnitrack.limits import check_content, content_limit
from omnitrack.tiff_directory import (
    BITS,
    PHOTOMETRIC,
    PLANAR,
    SEPARATE_PLANES,
    WHITE_IS_ZERO,
    TiffDirectory,
    read_directory,
)
from omnitrack.video.axes import count_planes, plan_frames
from omnitrack.video.images import quiet_opencv, read_pixels
from omnitrack.video.levels import AUTO_LEVELS, find_levels, notes_on, sample_indices, to_rgb8
from omnitrack.video.microscopy import INSTALL, MicroscopeStack, can_read_any_tiff
from omnitrack.video.reader import DEFAULT_FPS, VideoReader

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".stk")  # the last four are of microscopes
PAGES_AT_ONCE = 16  # in one call: OpenCV walks to the first page of a call from the start of the file
_PERHAPS = f"where it is not damaged, tifffile may read it: {INSTALL}"


def open_tiff(path: Path, levels: str = AUTO_LEVELS) -> VideoReader:
    """Open the images of a TIFF as a video.

    Raises:
        OmnitrackError: The file cannot be decoded, or only tifffile reads it correctly and is not installed.
    """
    directory = read_directory(path)
    if can_read_any_tiff():
        reader: VideoReader = MicroscopeStack(path, levels)
    else:
        _check_plain(path, directory)
        reader = TiffStack(path, directory, levels)
    named, found = count_planes(directory.lengths), len(directory.sizes)
    if directory.lengths and named > found > 1:
        reader.warnings = (f"{path} names {named} planes and holds {found}: the others are in other files, or lost",)
    return reader


def read_tiff_picture(path: Path) -> NDArray[Any]:
    """Read the only image of a TIFF as (H, W, C) in its stored bit depth.

    Raises:
        OmnitrackError: The file has several images, cannot be decoded, or needs tifffile, which is not installed.
    """
    directory = read_directory(path)
    if len(directory.sizes) == 1 and not _cause_of_trouble(directory):
        try:
            return read_pixels(path)
        except OmnitrackError:
            if not can_read_any_tiff():
                raise
    if not can_read_any_tiff():
        _check_plain(path, directory)
    pictures = MicroscopeStack(path) if can_read_any_tiff() else TiffStack(path, directory, AUTO_LEVELS)
    if pictures.count != 1:
        raise OmnitrackError(
            f"image {path} holds {pictures.count} pictures, one of many files", f"give it alone, as a video: {path}"
        )
    return next(iter(pictures.pictures()))


def _check_plain(path: Path, directory: TiffDirectory) -> None:
    cause = _cause_of_trouble(directory)
    if cause:
        raise OmnitrackError(f"{path} {cause}, which only tifffile reads right", INSTALL)


def _cause_of_trouble(directory: TiffDirectory) -> str | None:
    """Return why OpenCV would misread a file; None if it would not."""
    lengths, first = directory.lengths, directory.first
    if sum(length > 1 for length in lengths.values()) > 1 or lengths.get("C", 1) > len(directory.sizes):
        return f"has several axes ({', '.join(f'{axis} {length}' for axis, length in lengths.items())})"
    if len(directory.sizes) == 1 and count_planes(lengths) > 1:
        return f"has {count_planes(lengths)} planes behind one page"
    if len(set(directory.sizes)) > 1:
        return "has pages of several sizes"
    if int(first.get(BITS, 8)) > 8 and first.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        return "has white as its lowest value in more than 8 bits"
    if int(first.get(BITS, 8)) > 8 and first.get(PLANAR) == SEPARATE_PLANES:
        return "has its colours in separate planes of more than 8 bits"
    return None


class TiffStack(VideoReader):
    """The pages of a TIFF, all of the same kind, as a video.

    Args:
        path: The file.
        directory: Description of its pages.
        levels: See `omnitrack.video.levels.find_levels`.

    Raises:
        OmnitrackError: A page cannot be decoded, or is larger than `omnitrack.limits` allows.
    """

    def __init__(self, path: Path, directory: TiffDirectory, levels: str) -> None:
        self.path = path
        self.fps = directory.fps or DEFAULT_FPS
        self._is_whole = directory.is_whole
        page_bytes = PIXEL_BYTES * max((width * height for width, height in directory.sizes), default=1)
        check_content(f"a page of {path}", page_bytes)
        self._at_once = min(PAGES_AT_ONCE, max(1, content_limit() // max(1, page_bytes)))
        self.count = _count_pages(path)
        sampled = [picture for index in sample_indices(self.count or 1) for picture in islice(self.pictures(index), 1)]
        self.size = (sampled[0].shape[1], sampled[0].shape[0])
        self._levels = find_levels(levels, sampled)
        axis = next((axis for axis, length in directory.lengths.items() if length > 1), "I")
        self.notes = (*plan_frames(axis, (self.count or 1,)).notes, *notes_on(self._levels, sampled[0].dtype))

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for pixels in self.pictures():
            yield to_rgb8(pixels, self._levels)
        if not self._is_whole:
            self.damage = "its list of pages breaks off"

    def pictures(self, first: int = 0) -> Iterator[NDArray[Any]]:
        """Yield the pages (H, W, C) from `first` on in their stored bit depth."""
        import cv2

        for start in range(first, self.count or 0, self._at_once):
            asked = min(self._at_once, (self.count or 0) - start)
            with quiet_opencv():
                whole, pages = cv2.imreadmulti(str(self.path), start, asked, flags=cv2.IMREAD_UNCHANGED)
            if not whole or len(pages) != asked:
                raise OmnitrackError(
                    f"{self.path} cannot be read: OpenCV decodes no page of {start} to {start + asked - 1}",
                    _PERHAPS,
                )
            for page in map(np.asarray, pages):
                code = cv2.COLOR_BGRA2RGBA if page.ndim == 3 and page.shape[2] == 4 else cv2.COLOR_BGR2RGB
                yield page[..., None] if page.ndim == 2 else cv2.cvtColor(page, code)


def _count_pages(path: Path) -> int:
    import cv2

    with quiet_opencv():
        try:
            count = int(cv2.imcount(str(path), cv2.IMREAD_UNCHANGED))
        except cv2.error:
            count = 0
    if not count:
        raise OmnitrackError(f"image {path} is damaged or not an image", _PERHAPS)
    return count
