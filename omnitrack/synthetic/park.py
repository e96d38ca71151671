"""The demo's clip: a ball rolls behind a tree and a carp kite swims through the air, filmed by a moving camera."""

from __future__ import annotations

import math

import cv2
import numpy as np

from omnitrack.synthetic.maps import Chain, Map, Ripple, Similarity
from omnitrack.synthetic.scene import DRAWN, Layer, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane, Polygon, Union, rectangle
from omnitrack.synthetic.texture import TEXELS_PER_PIXEL, Canvas, fractal_noise, paint

BALL_RADIUS, TRUNK_HALF_WIDTH = 30.0, 10.0
HORIZON, GROUND = 78.0, 112.0  # rows of the first frame where the hills and the meadow begin
Colour = tuple[float, float, float]


def demo_scene(size: tuple[int, int] = DRAWN, num_frames: int = 24, seed: int = 0) -> SyntheticScene:
    """The clip that `omnitrack demo` tracks: objects vanish, return, rotate and bend while the camera pans and zooms.

    Args:
        size: (width, height) in pixels; the scene is laid out for 256 x 192 and scaled to this width.
        num_frames: T; the motions per frame stay the same.
        seed: Random seed of everything painted.
    """
    zoom = size[0] / DRAWN[0]
    middle = (num_frames - 1) / 2

    def camera(t: int) -> Map:
        pan = -1.6 * (t - middle)
        view = Similarity(128 + pan, 96 + 3 * math.sin(0.25 * t), 0.02 * math.sin(0.3 * t), 1 + 0.004 * t, (128, 96))
        return Chain((view, Similarity(zoom=zoom)))

    def ball(t: int) -> Map:
        return Similarity(134 + 4.6 * (t - middle), 140 + 3 * math.cos(0.35 * t), 0.055 * t)

    def kite(t: int) -> Map:
        swim = Ripple(4.0, 70.0, phase=-0.42 * t)
        return Chain((swim, Similarity(166 - 3.4 * (t - middle), 58 + 5 * math.sin(0.3 * t), 0.12 - 0.012 * t)))

    def tree(t: int) -> Map:
        return Similarity(126 - 0.5 * (t - middle), 100)  # nearer than the meadow, so the pan moves it farther

    trunk = rectangle(-TRUNK_HALF_WIDTH, -60, TRUNK_HALF_WIDTH, 140)
    crown = (Ellipse(36, 27, 0, -72), Ellipse(24, 20, -27, -58), Ellipse(26, 20, 26, -60))
    body = Polygon(((-38, 0), (-28, -9), (-4, -14), (24, -11), (24, 11), (-4, 14), (-28, 9)))
    tail = (Polygon(((22, -6), (40, -16), (36, 0), (22, 6))), Polygon(((22, -6), (36, 0), (40, 16), (22, 6))))
    rngs = [np.random.default_rng((seed, layer)) for layer in range(4)]
    layers = [
        Layer("kite", Union((body, *tail)), paint(-45, -20, 45, 20, lambda x, y: _kite(x, y, rngs[1])), kite),
        Layer("tree", Union((trunk, *crown)), paint(-60, -105, 60, 145, lambda x, y: _tree(x, y, rngs[0])), tree),
        Layer(
            "ball", Ellipse(BALL_RADIUS, BALL_RADIUS), paint(-32, -32, 32, 32, lambda x, y: _ball(x, y, rngs[2])), ball
        ),
        Layer("meadow", Plane(), paint(-110, -60, 366, 260, lambda x, y: _park(x, y, rngs[3]))),
    ]
    return SyntheticScene(size, num_frames, layers, camera)


def _blend(under: Canvas, colour: Colour | Canvas, share: Canvas) -> Canvas:
    return np.asarray(under + (np.asarray(colour, np.float32) - under) * share[..., None], np.float32)


def _edge(value: Canvas, width: float = 0.6) -> Canvas:
    """Ramp from 0 to 1 across `value` = 0, over a range of `width`."""
    return np.asarray(np.clip(value / width + 0.5, 0, 1), np.float32)


def _grain(x: Canvas, rng: np.random.Generator, slope: float = 0.6, stretch: tuple[float, float] = (1, 1)) -> Canvas:
    return fractal_noise(x.shape, rng, slope, stretch)[..., None]


def _tree(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    bark = np.array((0.42, 0.29, 0.2), np.float32) * (1 + 0.28 * _grain(x, rng, 0.7, (1, 4)) - 0.012 * x[..., None])
    leaves = np.array((0.2, 0.42, 0.14), np.float32) * (1 + 0.35 * _grain(x, rng, 0.5) - 0.004 * (y[..., None] + 70))
    leaves = _blend(leaves, (0.62, 0.66, 0.2), _edge(fractal_noise(x.shape, rng, 0.3) - 1.5))
    image = np.where(((y < -47) | (np.abs(x) > TRUNK_HALF_WIDTH))[..., None], leaves, bark)
    for _ in range(26):  # apples
        cx, cy = rng.uniform(-46, 46), rng.uniform(-95, -45)
        image = _blend(image, (0.82, 0.16, 0.12), _edge(rng.uniform(1.6, 2.6) - np.hypot(x - cx, y - cy), 1.0))
    return np.asarray(image, np.float32)


def _kite(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    scales = np.sin(x * 1.1) * np.sin(y * 0.9 + np.floor(x / 2.9) * math.pi / 2)
    image = np.array((0.95, 0.45, 0.12), np.float32) * (1 + 0.1 * scales[..., None] + 0.14 * _grain(x, rng))
    for centre, half in ((-16.0, 4.0), (6.0, 4.5), (23.0, 2.5)):
        band = half - np.abs(x - centre + 0.02 * y**2)
        image = _blend(image, (0.12, 0.1, 0.12), _edge(band + 1.6))
        image = _blend(image, np.array((0.95, 0.95, 0.92), np.float32) * (1 + 0.08 * _grain(x, rng)), _edge(band))
    ribs = _edge(np.sin(y * 1.5 + 0.2 * x)) * _edge(x - 26)
    image = _blend(image, (0.75, 0.2, 0.1), ribs)
    image = _blend(image, (1, 1, 1), _edge(3.2 - np.hypot(x + 28, y + 3)))
    return _blend(image, (0.05, 0.05, 0.1), _edge(1.8 - np.hypot(x + 28.6, y + 3)))


def _ball(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    colours: list[Colour] = [(0.9, 0.16, 0.18), (0.97, 0.93, 0.85), (0.13, 0.35, 0.8), (0.98, 0.8, 0.15)]
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    sector = np.floor((angle + 0.012 * radius) / (2 * math.pi) * 8).astype(int) % 4
    image = np.array(colours, np.float32)[sector]
    seam = np.abs(((angle + 0.012 * radius) / (2 * math.pi) * 8 + 0.5) % 1 - 0.5) * radius * math.pi / 4
    image = _blend(image, (0.2, 0.18, 0.2), 0.6 * _edge(0.7 - seam))
    stars = np.hypot(radius - 19, 19 * ((angle / (2 * math.pi) * 8) % 1 - 0.5) * math.pi / 4)
    image = _blend(image, (0.15, 0.5, 0.3), _edge(3.2 - stars))
    image = _blend(image, (0.98, 0.98, 0.95), _edge(6.5 - radius))
    image = _blend(image, (0.9, 0.16, 0.18), _edge(3.0 - radius))
    return np.asarray(image * (1 + 0.11 * _grain(x, rng) - 0.25 * (radius[..., None] / BALL_RADIUS) ** 4), np.float32)


def _park(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    height = np.clip((y + 60) / (HORIZON + 60), 0, 1)
    image = _blend(np.full((*x.shape, 3), (0.3, 0.55, 0.85), np.float32), (0.8, 0.88, 0.92), height)
    image = _blend(image, (0.97, 0.96, 0.94), 0.9 * _edge(fractal_noise(x.shape, rng, 1.4, (2, 1)) - 0.2, 1.6))
    image *= 1 + 0.05 * _grain(x, rng)
    far = HORIZON - 18 + 10 * np.sin(x / 41) + 5 * np.sin(x / 17 + 1)
    image = _blend(image, np.array((0.42, 0.52, 0.6), np.float32) * (1 + 0.16 * _grain(x, rng)), _edge(y - far))
    near = HORIZON + 6 + 7 * np.sin(x / 33 + 2)
    image = _blend(image, np.array((0.3, 0.46, 0.24), np.float32) * (1 + 0.24 * _grain(x, rng)), _edge(y - near))
    meadow = np.array((0.42, 0.6, 0.22), np.float32) * (1 + 0.22 * _grain(x, rng, 0.7, (1, 2)))
    meadow *= 1 + 0.12 * _grain(x, rng, 1.5)
    image = _blend(image, meadow, _edge(y - GROUND - 3 * np.sin(x / 50)))
    image = _flowers(_houses(image, x, y, rng), x, y, rng)
    return np.asarray(image, np.float32)


def _houses(image: Canvas, x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    walls: list[tuple[float, float, Colour]] = [
        (20, 34, (0.85, 0.74, 0.55)),
        (84, 26, (0.74, 0.5, 0.44)),
        (216, 38, (0.9, 0.87, 0.8)),
        (290, 28, (0.6, 0.66, 0.74)),
    ]
    grain = _grain(x, rng)
    for left, width, colour in walls:
        u, v = x - left, y - (GROUND + 2 - 0.8 * width)
        courses = (np.sin(v * 2.1) > 0.6) | (np.sin((u + np.floor(v / 3) * 2) * 1.05) > 0.9)
        wall = np.array(colour, np.float32) * (1 + 0.1 * grain - 0.18 * courses[..., None])
        inside = np.minimum.reduce([u, width - u, v, 0.8 * width - v])
        image = _blend(image, wall, _edge(inside))
        roof = np.minimum(v + 0.55 * width - 0.9 * np.abs(u - width / 2), 1 - v)
        tiles = np.array((0.62, 0.22, 0.16), np.float32) * (1 + 0.2 * np.sin(v * 2.4)[..., None] + 0.12 * grain)
        image = _blend(image, tiles, _edge(roof))
        for column in (0.24, 0.7):
            pane = np.minimum(0.1 * width - np.abs(u - column * width), 0.12 * width - np.abs(v - 0.35 * width))
            image = _blend(image, (0.95, 0.95, 0.92), _edge(pane + 1.2))
            image = _blend(image, (0.16, 0.24, 0.36), _edge(pane))
    return image


def _flowers(image: Canvas, x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    palette: list[Colour] = [
        (0.98, 0.95, 0.9),
        (0.98, 0.82, 0.2),
        (0.85, 0.3, 0.5),
        (0.55, 0.35, 0.75),
        (0.9, 0.25, 0.2),
    ]
    canvas = np.ascontiguousarray(image)
    origin = np.array((x[0, 0], y[0, 0]))
    for _ in range(900):
        py = GROUND + 5 + 140 * rng.random() ** 1.5
        spot = (np.array((rng.uniform(-110, 366), py)) - origin) * TEXELS_PER_PIXEL
        radius = (0.8 + 0.02 * (py - GROUND)) * rng.uniform(0.7, 1.3) * TEXELS_PER_PIXEL
        centre = tuple(np.rint(spot * 16).astype(int).tolist())
        cv2.circle(canvas, centre, round(radius * 16), palette[rng.integers(5)], -1, cv2.LINE_AA, 4)
    return canvas
