"""Three clips beside the demo's, with other motions and textures: a street, a harbour and an aquarium.

Their challenges for a tracker: wheels that turn in front of repetitive bricks; a boat that the camera follows while
the quay races past behind it, and a waving striped flag; fish that bend and cross in plain water.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from omnitrack.synthetic.maps import Chain, Map, Ripple, Similarity
from omnitrack.synthetic.scene import DRAWN, Layer, Motion, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane, Polygon, Shape, Union, rectangle
from omnitrack.synthetic.texture import Canvas, Texture, fractal_noise, paint

Size = tuple[int, int]
Colour = tuple[float, float, float]
Painter = Callable[[Canvas, Canvas, np.random.Generator], Canvas]  # x and y (h, w) to colours (h, w, 3) in [0, 1]


def street_scene(size: Size = DRAWN, num_frames: int = 24, seed: int = 0) -> SyntheticScene:
    """Two cars pass each other and a lamp post in front of a brick wall; the camera stands still but shakes."""
    rngs = [np.random.default_rng((seed, 10 + layer)) for layer in range(6)]
    middle = (num_frames - 1) / 2

    def car(x: float, y: float, speed: float) -> Motion:
        return lambda t: Similarity(x + speed * (t - middle), y + 0.6 * math.sin(0.9 * t))

    def wheel(of: Motion, x: float, speed: float) -> Motion:
        return lambda t: Chain((Similarity(x, 15, speed / 11 * t), of(t)))

    near, far = car(128, 150, 4.2), car(120, 118, -3.0)
    layers = [
        Layer("post", rectangle(-4, -90, 4, 110), _painted(_posts, 6, 112, rngs[0]), lambda t: Similarity(150, 96)),
        Layer("wheel", Ellipse(11, 11), _painted(_wheel, 14, 14, rngs[1]), wheel(near, -26, 4.2)),
        Layer("near car", _car(), _painted(_windowed((0.75, 0.12, 0.1)), 52, 32, rngs[2]), near),
        Layer("far wheel", Ellipse(11, 11), _painted(_wheel, 14, 14, rngs[3]), wheel(far, 24, -3.0)),
        Layer("far car", _car(), _painted(_windowed((0.9, 0.85, 0.3)), 52, 32, rngs[4]), far),
        Layer("wall", Plane(), _painted(_bricks, 340, 300, rngs[5])),
    ]
    return _scaled(
        size, num_frames, layers, lambda t: Similarity(1.2 * math.sin(0.8 * t), 0.9 * math.cos(0.6 * t), 0.0, 1.0)
    )


def harbour_scene(size: Size = DRAWN, num_frames: int = 24, seed: int = 0) -> SyntheticScene:
    """The camera follows a boat with a waving flag; bollards pass in front of it and the quay behind it."""
    rngs = [np.random.default_rng((seed, 20 + layer)) for layer in range(4)]
    middle = (num_frames - 1) / 2

    def pan(t: int) -> Map:
        return Similarity(-4.5 * (t - middle), 1.5 * math.sin(0.5 * t))

    def boat(t: int) -> Map:
        return Similarity(122 + 0.5 * (t - middle), 112 + 2.5 * math.sin(0.45 * t), 0.05 * math.sin(0.45 * t + 1))

    def flag(t: int) -> Map:
        return Chain((Ripple(2.5, 28.0, -0.7 * t), Similarity(24, -42), boat(t)))

    hull = Polygon(((-58, 0), (58, 0), (44, 22), (-46, 22)))
    layers = [
        Layer(
            "bollards",
            Union(tuple(rectangle(x - 6, 128, x + 6, 220) for x in (-40, 90, 215, 330))),
            _painted(_posts, 400, 240, rngs[0]),
            pan_at(-6.0, middle),
        ),
        Layer("flag", rectangle(-22, -13, 22, 13), _painted(_striped, 26, 17, rngs[1]), flag),
        Layer(
            "boat",
            Union((hull, rectangle(-26, -24, 12, 0), rectangle(0, -56, 3, 0))),
            _painted(_boat, 62, 62, rngs[2]),
            boat,
        ),
        Layer("quay", Plane(), _painted(_quay, 420, 320, rngs[3]), pan),
    ]
    return _scaled(size, num_frames, layers, lambda t: Similarity())


def aquarium_scene(size: Size = DRAWN, num_frames: int = 24, seed: int = 0) -> SyntheticScene:
    """A striped and a spotted fish bend as they cross behind swaying weed, in water with hardly any texture."""
    rngs = [np.random.default_rng((seed, 30 + layer)) for layer in range(5)]
    middle = (num_frames - 1) / 2

    def fish(x: float, y: float, dx: float, dy: float, beat: float) -> Motion:
        def at(t: int) -> Map:
            s = t - middle
            return Chain(
                (Ripple(3.0, 60.0, -beat * t), Similarity(x + dx * s, y + dy * s, math.atan2(dy, abs(dx)) * 0.6))
            )

        return at

    def weed(t: int) -> Map:
        return Chain((Ripple(5.0, 150.0, 0.22 * t, axis=0), Similarity(178, 190)))

    body = Union((Ellipse(34, 15), Polygon(((-28, 0), (-50, 14), (-50, -14)))))
    stalks = Union(tuple(rectangle(x - 4, -130, x + 4, 20) for x in (-22, 0, 21)))
    layers = [
        Layer("weed", stalks, _painted(_leafy, 40, 150, rngs[0]), weed),
        Layer("striped fish", body, _painted(_striped, 54, 22, rngs[1]), fish(128, 78, 3.6, 0.5, 0.5)),
        Layer("spotted fish", body, _painted(_spotted, 54, 22, rngs[2]), fish(120, 118, -2.8, -0.8, 0.4)),
        Layer(
            "stone",
            Ellipse(30, 18),
            _painted(_mottled((0.5, 0.48, 0.45), 0.3), 34, 22, rngs[3]),
            lambda t: Similarity(60, 170),
        ),
        Layer("water", Plane(), _painted(_water, 340, 300, rngs[4])),
    ]
    return _scaled(size, num_frames, layers, lambda t: Similarity(0.7 * t - 0.7 * middle, 0.0, 0.0, 1 + 0.002 * t))


EVERYDAY_SCENES = {"street": street_scene, "harbour": harbour_scene, "aquarium": aquarium_scene}


def pan_at(speed: float, middle: float) -> Motion:
    """Move along x by `speed` pixels per frame, through the origin at frame `middle`."""
    return lambda t: Similarity(speed * (t - middle), 0.0)


def _scaled(size: Size, num_frames: int, layers: list[Layer], camera: Motion) -> SyntheticScene:
    zoom = size[0] / DRAWN[0]
    return SyntheticScene(size, num_frames, layers, lambda t: Chain((camera(t), Similarity(zoom=zoom))))


def _car() -> Shape:
    return Union((rectangle(-46, -8, 46, 14), Polygon(((-24, -8), (-14, -26), (20, -26), (32, -8)))))


# --- textures ---------------------------------------------------------------------------------------------------
def _painted(painter: Painter, half_width: float, half_height: float, rng: np.random.Generator) -> Texture:
    return paint(-half_width, -half_height, half_width, half_height, lambda x, y: painter(x, y, rng))


def _grain(x: Canvas, rng: np.random.Generator, contrast: float, slope: float = 0.8) -> Canvas:
    return np.asarray(1 + contrast * fractal_noise(x.shape, rng, slope)[..., None], np.float32)


def _mix(colour: Colour, other: Colour, share: Canvas) -> Canvas:
    first, second = np.array(colour, np.float32), np.array(other, np.float32)
    return np.asarray(first + (second - first) * np.clip(share, 0, 1)[..., None], np.float32)


def _mottled(colour: Colour, contrast: float) -> Painter:
    return lambda x, y, rng: np.asarray(np.array(colour) * _grain(x, rng, contrast), np.float32)


def _windowed(colour: Colour) -> Painter:
    def painter(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
        windows = (y < -9) & (np.abs((x + 3) % 24 - 12) > 3)
        return np.asarray(
            np.where(windows[..., None], (0.15, 0.2, 0.25), np.array(colour)) * _grain(x, rng, 0.1), np.float32
        )

    return painter


def _wheel(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    spokes = 4 * np.cos(5 * np.arctan2(y, x)) * (np.hypot(x, y) < 8)
    return _mix((0.1, 0.1, 0.1), (0.75, 0.75, 0.78), spokes) * _grain(x, rng, 0.12)


def _bricks(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    course = np.floor(y / 9)
    mortar = (np.abs(y / 9 - course - 0.5) > 0.4) | (np.abs(((x + 9 * (course % 2)) / 18) % 1 - 0.5) > 0.45)
    return _mix((0.55, 0.27, 0.2), (0.72, 0.7, 0.66), mortar.astype(np.float32)) * _grain(x, rng, 0.12)


def _posts(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    return np.array((0.3, 0.33, 0.36), np.float32) * _grain(x, rng, 0.25) * (1 - 0.04 * np.abs(x % 8 - 4))[..., None]


def _striped(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    return _mix((0.95, 0.9, 0.85), (0.75, 0.1, 0.15), 0.5 + 3 * np.sin(2 * math.pi * x / 9)) * _grain(x, rng, 0.08)


def _spotted(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    spots = 4 * (fractal_noise(x.shape, rng, 0.9) - 0.7)
    return _mix((0.2, 0.35, 0.7), (0.95, 0.8, 0.2), spots) * _grain(x, rng, 0.1)


def _boat(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    planks = _mix((0.85, 0.83, 0.78), (0.3, 0.4, 0.55), (np.sin(y * 0.9) > 0.7).astype(np.float32))
    portholes = (np.hypot((x + 4) % 16 - 8, y - 9) < 3) & (y > 0)
    return np.asarray(np.where(portholes[..., None], (0.1, 0.12, 0.15), planks) * _grain(x, rng, 0.1), np.float32)


def _quay(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    houses = _mix((0.7, 0.6, 0.45), (0.35, 0.25, 0.3), (np.sin(x / 19) > 0.2).astype(np.float32))
    panes = (np.abs(x % 13 - 6) < 2.5) & (np.abs(y % 17 - 8) < 3.5)
    houses = np.where(panes[..., None], (0.2, 0.25, 0.35), houses)
    water = _mix((0.15, 0.3, 0.38), (0.5, 0.62, 0.66), fractal_noise(x.shape, rng, 0.9) * 0.4)
    return np.asarray(np.where((y > 118)[..., None], water, houses) * _grain(x, rng, 0.16), np.float32)


def _leafy(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    return _mix((0.1, 0.35, 0.15), (0.45, 0.65, 0.25), fractal_noise(x.shape, rng, 0.6)) * _grain(x, rng, 0.15)


def _water(x: Canvas, y: Canvas, rng: np.random.Generator) -> Canvas:
    deep = _mix((0.12, 0.4, 0.5), (0.1, 0.25, 0.4), (y + 40) / 260)
    sand = _mix((0.7, 0.62, 0.45), (0.5, 0.42, 0.3), fractal_noise(x.shape, rng, 0.5) * 0.5 + 0.3)
    share = np.clip((y - 158 - 4 * np.sin(x / 30)) / 3, 0, 1)[..., None]
    return np.asarray((deep * _grain(x, rng, 0.035, 1.1)) * (1 - share) + sand * share, np.float32)
