"""Optical flow as colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.drawing.palette import flow_wheel


def flow_colours(flow: NDArray[np.floating], limit_px: float) -> NDArray[np.uint8]:
    """Colour each vector by the wheel of Baker et al.: hue by direction, white at rest, full at `limit_px`.

    Args:
        flow: (H, W, 2) pixels, (x, y).
        limit_px: Length that gets the full colour; longer vectors are darkened. One limit for a whole clip keeps its
            frames comparable.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    wheel = flow_wheel()
    u, v = flow[..., 0] / max(limit_px, 1e-6), flow[..., 1] / max(limit_px, 1e-6)
    radius = np.hypot(u, v)[..., None]
    # The authors' code divides the full turn into 54 steps instead of 55: a seam at motion to the right.
    place = (np.arctan2(-v, -u) / np.pi + 1) / 2 * len(wheel)
    below = np.floor(place).astype(int)
    share = (place - below)[..., None]
    colour = ((1 - share) * wheel[below % len(wheel)] + share * wheel[(below + 1) % len(wheel)]) / 255
    colour = np.where(radius <= 1, 1 - radius * (1 - colour), 0.75 * colour)
    return np.floor(255 * colour).astype(np.uint8)
