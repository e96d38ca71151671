"""Several pictures in one file: animated PNG and WebP, read by imageio, and TIFF stacks, read by OpenCV.

Each is read by whom it is read right: OpenCV takes an animation for its first picture, and Pillow, which imageio asks,
reads no TIFF of three channels of 16 bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import PIXEL_BYTES, check_image, tiff_pages
from omnitrack.limits import check_content, content_limit
from omnitrack.video.images import to_rgb8
from omnitrack.video.reader import DEFAULT_FPS, VideoReader

ANIMATED_SUFFIXES = (".png", ".apng", ".webp")
TIFF_SUFFIXES = (".tif", ".tiff")
PAGES_AT_ONCE = 16  # OpenCV walks to the first of them from the start of the file


def count_pictures(path: Path) -> int:
    """How many pictures a PNG, WebP or TIFF holds; 1 of other files, and where nobody can tell."""
    if path.suffix.lower() in TIFF_SUFFIXES:
        return max(_count_pages(path), 1)
    if path.suffix.lower() not in ANIMATED_SUFFIXES:
        return 1
    import imageio.v3 as imageio

    try:
        about = imageio.improps(path, index=..., plugin="pillow")  # type: ignore[arg-type]
        return about.n_images or 1
    except Exception:  # damaged, or no image: the reader of single pictures says what is wrong
        return 1


class AnimatedImage(VideoReader):
    """The pictures of one file as a video; its rate is the mean of their delays.

    Args:
        path: The file.

    Raises:
        OmnitrackError: A picture in it cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_image(str(path), path.read_bytes())
        self.count = count_pictures(path)
        delays = [delay for _, delay in self._pictures() if delay]
        self.fps = 1000 / float(np.mean(delays)) if delays else DEFAULT_FPS
        first, _ = next(self._pictures())
        self.size = (first.shape[1], first.shape[0])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for picture, _ in self._pictures():
            yield to_rgb8(picture)

    def _pictures(self) -> Iterator[tuple[NDArray[Any], float]]:
        """Each picture (H, W, C), and its delay in milliseconds, 0 where there is none."""
        import imageio.v3 as imageio

        try:
            with imageio.imopen(self.path, "r", plugin="pillow") as file:
                for index in range(self.count or 0):
                    picture = np.asarray(file.read(index=index))
                    delay = file.metadata(index=index, exclude_applied=False).get("duration") or 0
                    yield (picture[..., None] if picture.ndim == 2 else picture), float(delay)
        except OmnitrackError:
            raise
        except Exception as error:  # Pillow has no one name for what is damaged
            raise OmnitrackError(
                f"{self.path} cannot be read: {error}", "it is damaged or incomplete: copy or export it again"
            ) from error


class TiffStack(VideoReader):
    """The pages of a TIFF as a video.

    Args:
        path: The file.

    Raises:
        OmnitrackError: A page cannot be decoded, has another size, or holds values without a fixed range.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fps = DEFAULT_FPS
        with path.open("rb") as file:
            sizes, self._is_whole = tiff_pages(file)
        page_bytes = PIXEL_BYTES * max((width * height for width, height in sizes), default=1)
        check_content(f"a page of {path}", page_bytes)
        self._at_once = min(PAGES_AT_ONCE, max(1, content_limit() // page_bytes))
        self.count = _count_pages(path)
        first = next(iter(self))
        self.size = (first.shape[1], first.shape[0])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        import cv2

        for start in range(0, self.count or 0, self._at_once):
            asked = min(self._at_once, (self.count or 0) - start)
            whole, pages = cv2.imreadmulti(str(self.path), start, asked, flags=cv2.IMREAD_UNCHANGED)
            if not whole or len(pages) != asked:
                raise OmnitrackError(
                    f"{self.path} cannot be read: a page of {start} to {start + asked - 1} is damaged",
                    "it is damaged or incomplete: copy or export it again",
                )
            yield from (self._frame(np.asarray(page), start + index) for index, page in enumerate(pages))
        if not self._is_whole:  # OpenCV ends there, without a word
            self.damage = "its list of pages breaks off"

    def _frame(self, page: NDArray[Any], index: int) -> NDArray[np.uint8]:
        import cv2

        if page.dtype not in (np.uint8, np.uint16):
            raise OmnitrackError(
                f"page {index} of {self.path} holds {page.dtype} values, which have no fixed range",
                "convert it to 8 or 16 bits",
            )
        if page.ndim == 2:
            return to_rgb8(page[..., None])
        return to_rgb8(cv2.cvtColor(page, cv2.COLOR_BGRA2RGBA if page.shape[2] == 4 else cv2.COLOR_BGR2RGB))


def _count_pages(path: Path) -> int:
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        return int(cv2.imcount(str(path), cv2.IMREAD_UNCHANGED))
    except cv2.error:
        return 0
    finally:
        cv2.utils.logging.setLogLevel(level)
