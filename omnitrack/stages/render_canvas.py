"""The frames that every style of `omnitrack render` paints on: frames of the original video, enlarged if small."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.closing import Closing
from omnitrack.drawing.legend import Entry, add_legend
from omnitrack.drawing.palette import marker_radius
from omnitrack.progress import SILENT, Progress
from omnitrack.project.project import Project
from omnitrack.settings import RenderSettings
from omnitrack.stages.original_frames import OriginalFrames

Picture = NDArray[np.uint8]
Painter = Callable[[int], Picture]
GAP_PX = 6  # between two pictures side by side
LARGEST = 1920  # most pixels of the longer side after enlarging, even if the shorter one stays below `min_side`


class Canvas(Closing):
    """The frames that everything is drawn on; a context manager.

    Args:
        project: The project.
        settings: Size and brightness of the frames.
        progress: Receives the reason if the original frames cannot be used.
    """

    def __init__(self, project: Project, settings: RenderSettings, progress: Progress = SILENT) -> None:
        self.project, self.settings = project, settings
        self._frames = OriginalFrames(project, progress)
        width, height = self._frames.size
        factor = max(1.0, min(settings.min_side / min(width, height), LARGEST / max(width, height)))
        self.size = (round(width * factor), round(height * factor))
        self.radius = settings.radius_px or marker_radius(self.size)
        self.thickness = max(1, round(self.radius / 2.5))

    def close(self) -> None:
        """Close the frames."""
        self._frames.close()

    def frame(self, index: int) -> Picture:
        """Return frame `index` at the brightness of the settings, (H, W, 3)."""
        dimmed = cv2.convertScaleAbs(self.plain_frame(index), alpha=min(1.0, self.settings.brightness))
        return np.asarray(dimmed, np.uint8)

    def plain_frame(self, index: int) -> Picture:
        """Return frame `index` at its original brightness, (H, W, 3)."""
        return self.enlarge(self._frames.frame(index))

    def explained(self, picture: Picture, entries: Sequence[Entry]) -> Picture:
        """Return the picture, with a legend if the settings ask for one."""
        return add_legend(picture, entries) if self.settings.legend else picture

    def enlarge(self, picture: Picture) -> Picture:
        """Resize a picture to the size of the canvas."""
        if (picture.shape[1], picture.shape[0]) == self.size:
            return picture
        return np.asarray(cv2.resize(picture, self.size, interpolation=cv2.INTER_CUBIC), np.uint8)

    def stretch(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Resize values (H, W, ...) of the working frames to the size of the canvas by linear interpolation."""
        return np.asarray(cv2.resize(values, self.size, interpolation=cv2.INTER_LINEAR), np.float32)

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Convert pixels (..., 2) of the original video to pixels of the canvas."""
        stretch = np.array(self.size) / np.array(self.project.size)
        return (self.project.to_working(pixels) + 0.5) * stretch - 0.5


def side_by_side(left: Picture, right: Picture) -> Picture:
    """Join two pictures of the same height with a gap between them."""
    return np.hstack([left, np.full((left.shape[0], GAP_PX, 3), 255, np.uint8), right])
