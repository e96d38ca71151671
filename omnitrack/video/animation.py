"""Animated PNG and WebP, read by imageio: OpenCV reads only the first image of an animation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnitrack.errors import OmnitrackError
from omnitrack.image_header import check_image
from omnitrack.video.levels import AUTO_LEVELS, find_levels, notes_on, sample_indices, to_rgb8
from omnitrack.video.reader import DEFAULT_FPS, VideoReader

ANIMATED_SUFFIXES = (".png", ".apng", ".webp")


def count_pictures(path: Path) -> int:
    """Return the number of images in a PNG or WebP; 1 for other files, or if the number cannot be determined."""
    if path.suffix.lower() not in ANIMATED_SUFFIXES:
        return 1
    import imageio.v3 as imageio

    try:
        about = imageio.improps(path, index=..., plugin="pillow")  # type: ignore[arg-type]
        return about.n_images or 1
    except Exception:  # damaged, or not an image: the reader of single images reports the cause
        return 1


class AnimatedImage(VideoReader):
    """The images of one file as a video; the frame rate is that of their mean delay.

    Args:
        path: The file.
        levels: See `omnitrack.video.levels.find_levels`.

    Raises:
        OmnitrackError: An image in the file cannot be decoded, or is larger than `omnitrack.limits` allows.
    """

    def __init__(self, path: Path, levels: str = AUTO_LEVELS) -> None:
        self.path = path
        check_image(str(path), path.read_bytes())
        self.count = count_pictures(path)
        wanted, sampled, delays = set(sample_indices(self.count)), [], []
        for index, (picture, delay) in enumerate(self._pictures()):
            delays += [delay] if delay else []
            sampled += [picture] if index in wanted else []
        self.fps = 1000 / float(np.mean(delays)) if delays else DEFAULT_FPS
        self.size = (sampled[0].shape[1], sampled[0].shape[0])
        self._levels = find_levels(levels, sampled)
        self.notes = notes_on(self._levels, sampled[0].dtype)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for picture, _ in self._pictures():
            yield to_rgb8(picture, self._levels)

    def _pictures(self) -> Iterator[tuple[NDArray[Any], float]]:
        """Yield each image (H, W, C), and its delay in milliseconds, 0 if there is none."""
        import imageio.v3 as imageio

        try:
            with imageio.imopen(self.path, "r", plugin="pillow") as file:
                for index in range(self.count or 0):
                    picture = np.asarray(file.read(index=index))
                    delay = file.metadata(index=index, exclude_applied=False).get("duration") or 0
                    yield (picture[..., None] if picture.ndim == 2 else picture), float(delay)
        except OmnitrackError:
            raise
        except Exception as error:  # Pillow raises different errors for damaged files
            raise OmnitrackError(
                f"{self.path} cannot be read: {error}", "it is damaged or incomplete: copy or export it again"
            ) from error
