"""Small scenes for tests that isolate one effect each; the clip of the demo is in `park.py`."""

from __future__ import annotations

import numpy as np

from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scene import Layer, Motion, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane, rectangle
from omnitrack.synthetic.texture import mottled, paint

GREEN, ORANGE, VIOLET = (0.36, 0.55, 0.32), (0.85, 0.52, 0.2), (0.5, 0.36, 0.62)
MARGIN_PX = 64  # of painted background around the frame
Size = tuple[int, int]


def drift(x: float, y: float, dx: float, dy: float) -> Motion:
    """Start at `(x, y)` and move by `(dx, dy)` pixels per frame."""
    return lambda t: Similarity(x + dx * t, y + dy * t)


def static_scene(size: Size = (96, 64), num_frames: int = 6, seed: int = 0) -> SyntheticScene:
    """One plane that does not move."""
    return translating_scene((0.0, 0.0), size, num_frames, seed)


def translating_scene(
    velocity: tuple[float, float] = (1.5, -0.75), size: Size = (96, 64), num_frames: int = 6, seed: int = 0
) -> SyntheticScene:
    """One plane that moves by `velocity` pixels per frame."""
    return SyntheticScene(size, num_frames, [_background(size, seed, drift(0, 0, *velocity))])


def two_planes(size: Size = (96, 64), num_frames: int = 8, seed: int = 0) -> SyntheticScene:
    """A near strip that moves right in front of a plane that moves left."""
    width, height = size
    half = height / 5
    strip = Layer(
        "strip",
        rectangle(-width, -half, width, half),
        paint(-width, -half, width, half, mottled(ORANGE, 0.2, np.random.default_rng(seed + 1))),
        drift(width / 2, height / 2, 2.0, 0.0),
    )
    return SyntheticScene(size, num_frames, [strip, _background(size, seed, drift(0, 0, -1.0, 0.0))])


def occluder_scene(
    size: Size = (128, 96), num_frames: int = 16, seed: int = 0, speed: float = 4.0, turn: float = 0.02
) -> SyntheticScene:
    """A disc that passes behind a pole: its points vanish and come back.

    Args:
        size: (width, height) in pixels.
        num_frames: T.
        seed: Random seed of the textures.
        speed: Pixels per frame, to the right; the pole is where the disc is halfway through the clip.
        turn: Radians per frame by which the disc turns.
    """
    width, height = size
    radius, pole = height / 5, height / 12
    middle = speed * (num_frames - 1) / 2
    disc = Layer(
        "disc",
        Ellipse(radius, radius),
        paint(-radius, -radius, radius, radius, mottled(ORANGE, 0.22, np.random.default_rng(seed + 1))),
        lambda t: Similarity(width / 2 + speed * t - middle, height / 2, turn * t),
    )
    post = Layer(
        "pole",
        rectangle(-pole, -height, pole, height),
        paint(-pole, -height, pole, height, mottled(VIOLET, 0.18, np.random.default_rng(seed + 2))),
        drift(width / 2, height / 2, 0.0, 0.0),
    )
    return SyntheticScene(size, num_frames, [post, disc, _background(size, seed, drift(0, 0, 0.0, 0.0))])


def panorama_scene(
    size: Size = (160, 120), num_frames: int = 150, seed: int = 0, sweep: int = 75, width: float = 2.2
) -> SyntheticScene:
    """A camera that pans back and forth over a wide scene, while a disc wanders through the view.

    Frames t and 2 `sweep` - t show the same part of the background, up to a small vertical shift. Frames are rendered
    on demand, so that clips of any length can be streamed.

    Args:
        size: (width, height) in pixels.
        num_frames: T.
        seed: Random seed of the textures.
        sweep: Frames from one end of the scene to the other.
        width: Width of the scene in frame widths.
    """
    columns, rows = size
    reach, radius = (width - 1) * columns, rows / 7
    place = Layer(
        "place",
        Plane(),
        paint(
            -MARGIN_PX,
            -MARGIN_PX,
            width * columns + MARGIN_PX,
            rows + MARGIN_PX,
            mottled(GREEN, 0.3, np.random.default_rng(seed)),
        ),
        lambda t: Similarity(-reach * (1 - np.cos(np.pi * t / sweep)) / 2, 0.04 * rows * np.sin(np.pi * t / sweep)),
    )
    disc = Layer(
        "disc",
        Ellipse(radius, radius),
        paint(-radius, -radius, radius, radius, mottled(ORANGE, 0.22, np.random.default_rng(seed + 1))),
        lambda t: Similarity(columns * (0.5 + 0.3 * np.sin(t / 17)), rows * (0.5 + 0.2 * np.sin(t / 11)), 0.02 * t),
    )
    return SyntheticScene(size, num_frames, [disc, place])


def _background(size: Size, seed: int, motion: Motion) -> Layer:
    width, height = size
    painter = mottled(GREEN, 0.2, np.random.default_rng(seed))
    box = (-MARGIN_PX, -MARGIN_PX, width + MARGIN_PX, height + MARGIN_PX)
    return Layer("background", Plane(), paint(*box, painter), motion)
