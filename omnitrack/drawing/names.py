"""Names drawn beside points.

Convention:
    Pixels (x, y) are those of the picture, centres at integers.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.legend import FONT_HEIGHT_PX, text_height

FONT = cv2.FONT_HERSHEY_SIMPLEX  # it has ASCII characters only
OUTLINE = (20, 20, 24)
GAP = 1.8  # from a point to its name, in radii of the point

Picture = NDArray[np.uint8]


def draw_names(
    picture: Picture,
    pixels: NDArray[np.floating],
    names: Sequence[str],
    colours: NDArray[np.uint8],
    radius: float,
) -> Picture:
    """Write names beside points, to the right if there is room, else to the left, inside the picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        pixels: (N, 2) positions; points that are not finite or lie outside the picture get no name.
        names: One per point; an empty name is not written.
        colours: (N, 3) RGB.
        radius: Radius of the points in pixels.
    """
    drawn = picture.copy()
    height, width = picture.shape[:2]
    scale = text_height(picture) / FONT_HEIGHT_PX
    line = max(1, round(1.6 * scale))
    for (x, y), name, colour in zip(pixels.tolist(), names, colours.tolist(), strict=True):
        if not (name and np.isfinite((x, y)).all() and -0.5 <= x < width - 0.5 and -0.5 <= y < height - 0.5):
            continue
        (across, up), down = cv2.getTextSize(name, FONT, scale, line)
        left = x + GAP * radius
        if left + across + line > width:
            left = x - GAP * radius - across
        at = (round(max(left, line)), round(np.clip(y + up / 2, up + line, max(height - down - line, up + line))))
        cv2.putText(drawn, name, at, FONT, scale, OUTLINE, line + 2, cv2.LINE_AA)
        cv2.putText(drawn, name, at, FONT, scale, colour, line, cv2.LINE_AA)
    return drawn
