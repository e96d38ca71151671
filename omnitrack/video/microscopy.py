"""TIFF stacks read by tifffile: all layouts, depths and compressions, with the axis names of ImageJ and OME."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.limits import check_content
from omnitrack.tiff_directory import read_directory
from omnitrack.video.axes import plan_frames, plane_index
from omnitrack.video.images import upright
from omnitrack.video.levels import AUTO_LEVELS, find_levels, notes_on, sample_indices, to_rgb8
from omnitrack.video.reader import DEFAULT_FPS, VideoReader

ORIENTATION = 274
_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 2, 3, 5  # values of PhotometricInterpretation
INSTALL = 'pip install "omnitrack-video[science]"'


def can_read_any_tiff() -> bool:
    """Whether tifffile is installed."""
    return find_spec("tifffile") is not None


class MicroscopeStack(VideoReader):
    """The largest image series in a TIFF as a video, without thumbnails and smaller levels of a pyramid.

    Args:
        path: The file.
        levels: See `omnitrack.video.levels.find_levels`.

    Raises:
        OmnitrackError: The file cannot be decoded, or its images cannot be displayed.
    """

    def __init__(self, path: Path, levels: str = AUTO_LEVELS) -> None:
        self.path = path
        directory = read_directory(path)
        with self._opened() as (series, planes):
            self._plan = plan_frames(series.axes, series.shape)
            self.count = self._plan.frames
            self.fps = directory.fps or DEFAULT_FPS
            first = self._frame(series, planes, 0)
            self.size = (first.shape[1], first.shape[0])
            sampled = (self._frame(series, planes, index) for index in sample_indices(self.count))
            self._levels = find_levels(levels, sampled)
        self.notes = (*self._plan.notes, *notes_on(self._levels, first.dtype))
        self._is_whole = directory.is_whole

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for pixels in self.pictures():
            yield to_rgb8(pixels, self._levels)
        if not self._is_whole:
            self.damage = "its list of pages breaks off"

    def pictures(self) -> Iterator[NDArray[Any]]:
        """Yield the frames (H, W, C) in their stored bit depth."""
        with self._opened() as (series, planes):
            for index in range(self.count or 0):
                yield self._frame(series, planes, index)

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, NDArray[Any] | None]]:
        """Yield the series, and a memory map of its values if the file stores them contiguously."""
        import tifffile

        logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # errors that matter are raised
        try:
            with tifffile.TiffFile(self.path, _multifile=False) as file:
                series = max(file.series, key=lambda one: math.prod(one.shape))
                page = series.keyframe
                check_content(f"a page of {self.path}", math.prod(page.shape) * max(page.dtype.itemsize, 2))
                planes = None
                if series.dataoffset is not None:
                    dtype = series.dtype.newbyteorder(file.byteorder)
                    planes = np.memmap(self.path, dtype, "r", series.dataoffset, series.shape)
                yield series, planes
        except OmnitrackError:
            raise
        except Exception as error:  # tifffile and its codecs raise errors of a dozen kinds
            lacks = "imagecodecs" in str(error)
            raise OmnitrackError(
                f"{self.path} cannot be read: {error}",
                INSTALL if lacks else "it is damaged or incomplete: copy or export it again",
            ) from error

    def _frame(self, series: Any, planes: NDArray[Any] | None, frame: int) -> NDArray[Any]:
        colours = series.shape[self._plan.colours] if self._plan.colours is not None else 1
        found = []
        for channel in range(colours):
            index = plane_index(self._plan, series.axes, frame, channel)
            found.append(np.array(planes[index]) if planes is not None else self._decode(series, index))
        page, axes = series.keyframe, [axis for axis in series.axes if axis in "YXS"]
        pixels = found[0].transpose([axes.index(axis) for axis in "YXS" if axis in axes])
        if colours > 1:
            blue = [np.zeros_like(pixels)] * (3 - colours)
            pixels = np.stack([*found, *blue], axis=-1)
        return self._shown(pixels[..., None] if pixels.ndim == 2 else pixels, page)

    def _decode(self, series: Any, index: tuple[int | slice, ...]) -> NDArray[Any]:
        lead = len(series.shape) - len(series.keyframe.shape)
        pages = series.shape[:lead]
        page = series.pages[int(np.ravel_multi_index(index[:lead], pages)) if pages else 0]  # type: ignore[arg-type]
        if page is None:
            raise OmnitrackError(
                f"{self.path} lacks a plane: it lies in another file of its data set",
                "export the data set as one file, for example by Bio-Formats in ImageJ",
            )
        return np.asarray(page.asarray())[index[lead:]]

    def _shown(self, pixels: NDArray[Any], page: Any) -> NDArray[Any]:
        """Return stored samples (H, W, S) as an upright image of one, three or four channels."""
        if page.photometric == _CMYK:
            raise OmnitrackError(f"{self.path} holds CMYK pictures", "convert it to RGB")
        if pixels.dtype.kind not in "uifb":
            raise OmnitrackError(f"{self.path} holds {pixels.dtype} values", "convert it to real numbers")
        pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
        if page.photometric == _PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap, 0, -1)[pixels[..., 0]]
        if page.photometric == _WHITE_IS_ZERO and pixels.dtype.kind == "u":
            pixels = np.iinfo(pixels.dtype).max - pixels
        if pixels.shape[2] not in (1, 3, 4) or (pixels.shape[2] == 4 and page.photometric != _RGB):
            pixels = pixels[..., :1]
        orientation = page.tags.get(ORIENTATION)
        return upright(pixels, int(orientation.value) if orientation else 1)
