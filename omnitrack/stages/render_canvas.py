"""The enlarged frames of a project that every style of `omnitrack render` paints on."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.palette import marker_radius
from omnitrack.project.project import Project
from omnitrack.settings import RenderSettings

Picture = NDArray[np.uint8]
Painter = Callable[[int], Picture]
LARGEST = 1920  # pixels of the longer side that enlarging makes: of a strip of frame, not all becomes `min_side` high


class Canvas:
    """The enlarged frames of a project that everything is drawn on.

    Args:
        project: The project.
        settings: How large and how bright.
    """

    def __init__(self, project: Project, settings: RenderSettings) -> None:
        self.project, self.settings = project, settings
        self.factor = max(1.0, min(settings.min_side / min(project.size), LARGEST / max(project.size)))
        self.size = (round(project.size[0] * self.factor), round(project.size[1] * self.factor))
        self.radius = settings.radius_px or marker_radius(self.size)
        self.thickness = max(1, round(self.radius / 2.5))

    def frame(self, index: int) -> Picture:
        """Frame `index`, enlarged and dimmed, (H, W, 3)."""
        dimmed = cv2.convertScaleAbs(self.plain_frame(index), alpha=min(1.0, self.settings.brightness))
        return np.asarray(dimmed, np.uint8)

    def plain_frame(self, index: int) -> Picture:
        """Frame `index`, enlarged, in its own brightness, (H, W, 3)."""
        return self.enlarge(self.project.frame(index))

    def enlarge(self, picture: Picture) -> Picture:
        """A picture of the working size at the canvas's size."""
        if (picture.shape[1], picture.shape[0]) == self.size:
            return picture
        return np.asarray(cv2.resize(picture, self.size, interpolation=cv2.INTER_CUBIC), np.uint8)

    def place(self, pixels: NDArray[np.floating]) -> NDArray[np.float64]:
        """Pixels (..., 2) of the original video to pixels of the canvas."""
        stretch = np.array(self.size) / np.array(self.project.size)
        return (self.project.to_working(pixels) + 0.5) * stretch - 0.5
