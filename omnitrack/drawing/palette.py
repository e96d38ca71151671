"""Colours of positions, labels and directions of motion, and the size of markers."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Oklch (Ottosson 2020) is perceptually uniform, so no part of the frame gets more prominent colours than another.
HUE_RANGE_DEG = (20.0, 320.0)  # across the frame, short of a full turn so that the left differs from the right
LIGHTNESS_RANGE = (0.9, 0.68)  # from the top of the frame to the bottom
CHROMA = 0.19
# Okabe and Ito, "Color Universal Design", 2008, without black: distinguishable with colour vision deficiencies, too.
LABEL_COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
GOLDEN_ANGLE_DEG = 137.50776  # between the hues of further labels, so that no two coincide
UNLABELLED = (170, 170, 170)
# Hues of Baker et al., "A Database and Evaluation Methodology for Optical Flow", IJCV 2011, and the steps between them.
WHEEL_STEPS = (15, 6, 4, 11, 13, 6)
WHEEL_CORNERS = ((255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255))


def position_colours(points: NDArray[np.floating], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Colour positions so that neighbours get similar colours and distant ones differ: hue by x, lightness by y.

    Args:
        points: (N, 2) pixels.
        box: (left, top, right, bottom) in pixels of the area that the colours span.

    Returns:
        (N, 3) uint8 RGB.
    """
    left, top, right, bottom = box
    u = np.clip((points[:, 0] - left) / max(right - left, 1e-6), 0, 1)
    v = np.clip((points[:, 1] - top) / max(bottom - top, 1e-6), 0, 1)
    hue = np.deg2rad(HUE_RANGE_DEG[0] + (HUE_RANGE_DEG[1] - HUE_RANGE_DEG[0]) * u)
    lightness = LIGHTNESS_RANGE[0] + (LIGHTNESS_RANGE[1] - LIGHTNESS_RANGE[0]) * v
    return oklab_to_rgb(np.stack([lightness, CHROMA * np.cos(hue), CHROMA * np.sin(hue)], -1))


def label_colours(count: int) -> NDArray[np.uint8]:
    """(count, 3) distinct uint8 RGB: seven from a list, more around the hue circle at three lightnesses."""
    turns = np.arange(max(0, count - len(LABEL_COLOURS)))
    hue = np.deg2rad(GOLDEN_ANGLE_DEG * turns)
    lightness = np.choose(turns % 3, (0.8, 0.65, 0.9))
    more = oklab_to_rgb(np.stack([lightness, CHROMA * np.cos(hue), CHROMA * np.sin(hue)], -1))
    return np.concatenate([np.array(LABEL_COLOURS, np.uint8)[:count], more])


def oklab_to_rgb(lab: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Convert Oklab (..., 3) to sRGB (..., 3) uint8, clipped to its gamut.

    Source:
        Björn Ottosson, "A perceptual color space for image processing", 2020.
    """
    to_lms = np.array(
        [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip((lab @ to_lms.T) ** 3 @ to_linear.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)


def flow_wheel() -> NDArray[np.float32]:
    """(55, 3) RGB in [0, 255] around the colour wheel of Baker et al., from red through yellow, green and blue."""
    corners = np.array((*WHEEL_CORNERS, WHEEL_CORNERS[0]), np.float32)
    parts = [
        begin + (end - begin) * np.floor(255 * np.arange(steps) / steps)[:, None] / 255
        for begin, end, steps in zip(corners[:-1], corners[1:], WHEEL_STEPS, strict=True)
    ]
    return np.concatenate(parts).astype(np.float32)


def marker_radius(size: tuple[int, int]) -> float:
    """Radius in pixels of points that are easy to see on a (width, height) picture without hiding much of it."""
    return max(2.0, 0.2 * math.sqrt(min(size)))
