"""Single image files: read in their stored bit depth and channels, written losslessly as PNG."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import JPEG, PNG, check_image

_JPEG_END = b"\xff\xd9"
_TRAILER_BYTES = 1 << 16  # data that cameras may append after the end of a JPEG


def read_pixels(path: Path) -> NDArray[Any]:
    """Read an image in display orientation: (H, W, 1) grey, (H, W, 3) RGB or (H, W, 4) RGBA in its stored bit depth.

    The EXIF orientation of the file is applied, in every format.

    Raises:
        OmnitrackError: The file is missing, damaged, not an image, or larger than `omnitrack.limits` allows.
    """
    import cv2

    hint = "repair or remove that file"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise OmnitrackError(f"cannot read image {path}: {error.strerror}", hint) from error
    if not data:
        raise OmnitrackError(f"image {path} is empty", hint)
    if check_image(f"image {path}", data) is None:
        raise OmnitrackError(f"image {path} is damaged or not an image", hint)
    if not _is_whole(data):
        raise OmnitrackError(f"image {path} is damaged or truncated", hint)
    buffer = np.frombuffer(data, np.uint8)
    is_jpeg = data.startswith(JPEG)  # JPEG has no alpha, and OpenCV applies its orientation
    with quiet_opencv():
        try:
            image = cv2.imdecode(buffer, cv2.IMREAD_COLOR if is_jpeg else cv2.IMREAD_UNCHANGED)
        except cv2.error:
            image = None
    if image is None:
        raise OmnitrackError(f"image {path} is damaged or not an image", hint)
    image = upright(np.asarray(image), _orientation(data))
    if image.ndim == 2:
        return image[..., None]
    return cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA if image.shape[2] == 4 else cv2.COLOR_BGR2RGB)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Keep OpenCV's messages off the terminal."""
    import cv2

    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _orientation(data: bytes) -> int:
    """Return the EXIF orientation of a PNG or WebP, else 1; OpenCV applies the orientation of JPEG and TIFF itself."""
    named = (data.startswith(PNG) and b"eXIf" in data) or (data[8:12] == b"WEBP" and b"EXIF" in data)
    if not named:
        return 1
    import imageio.v3 as imageio

    try:
        return int(imageio.immeta(data, plugin="pillow", exclude_applied=False).get("Orientation", 1))
    except (OSError, SyntaxError, ValueError, TypeError):
        return 1


def upright(stored: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Rotate and mirror stored pixels (H, W, ...) according to an EXIF orientation from 1 to 8."""
    if orientation in (5, 6, 7, 8):
        stored = stored.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        stored = stored[::-1]
    if orientation in (2, 3, 6, 7):
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def _is_whole(data: bytes) -> bool:
    """Whether a PNG or JPEG is complete; True for other formats.

    OpenCV, depending on its version, fills missing parts with grey, or prints messages directly to the terminal.
    """
    if data.startswith(JPEG):
        return _JPEG_END in data[-_TRAILER_BYTES:]
    if not data.startswith(PNG):
        return True
    chunk = len(PNG)
    while chunk + 12 <= len(data):  # length (4), type (4), content (length), checksum of type and content (4)
        end = chunk + 8 + int.from_bytes(data[chunk : chunk + 4], "big")
        if zlib.crc32(data[chunk + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        if data[chunk + 4 : chunk + 8] == b"IEND":
            return True
        chunk = end + 4
    return False


def write_image(path: Path, frame: NDArray[np.uint8]) -> None:
    """Write an (H, W, 3) uint8 RGB frame as PNG.

    Raises:
        OSError: The disk is full, or the directory cannot be written to.
    """
    import cv2

    _, data = cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))  # OpenCV's default compression is a fast one
    path.write_bytes(data.tobytes())  # not imwrite, which hides the cause of a failure
