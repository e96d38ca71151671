"""Random scenes: objects of many shapes, textures and motions in front of a background, with a moving camera.

They contain what makes flow fail in real footage: stripes that match one period on, thin limbs, objects that stand
still in a panning view, plain areas, fast rotation, occlusions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from omnitrack.synthetic.maps import Chain, Map, Points, Ripple, Similarity
from omnitrack.synthetic.scene import Layer, Motion, SyntheticScene
from omnitrack.synthetic.shapes import Ellipse, Plane, Polygon, Shape, Union, rectangle
from omnitrack.synthetic.texture import Canvas, fractal_noise, paint

MOST_THINGS = 6
LARGEST_SPEED = 0.03  # of an object across the frame, in frame widths per frame
LARGEST_PAN = 0.06
EXPOSURES = 3  # moments per frame that are averaged, spread over two thirds of the frame interval
Painter = Callable[[Canvas, Canvas], Canvas]
Size = tuple[int, int]


@dataclass(frozen=True)
class FilmedClip:
    """A random scene as a camera records it: with motion blur, sensor noise and compression.

    Attributes:
        frames: (T, H, W, 3) uint8 RGB.
        scene: The scene, at `EXPOSURES` moments per frame.
    """

    frames: NDArray[np.uint8]
    scene: SyntheticScene

    def tracks(self, frame: int, pixels: Points) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return tracks (N, T, 2) and visibility (N, T) of the points seen at `pixels` (N, 2) of a frame."""
        moments = np.arange(len(self.frames)) * EXPOSURES + EXPOSURES // 2
        tracks, visible = self.scene.tracks(np.column_stack([np.full(len(pixels), moments[frame]), pixels]))
        return tracks[:, moments], visible[:, moments]


def filmed_clip(size: Size = (208, 160), num_frames: int = 24, seed: int = 0) -> FilmedClip:
    """Film a random scene. The result depends on the arguments only.

    Args:
        size: (width, height) in pixels.
        num_frames: T.
        seed: Random seed of everything.
    """
    scene, rng = random_scene(size, num_frames, seed, EXPOSURES), np.random.default_rng((seed, 1))
    noise, blur, quality = rng.uniform(0, 4), rng.uniform(0, 0.8), int(rng.integers(60, 96))
    exposures = EXPOSURES if rng.random() < 0.6 else 1
    frames = []
    for t in range(num_frames):
        first = t * EXPOSURES + (EXPOSURES - exposures) // 2
        taken = np.stack([scene.frame(m) for m in range(first, first + exposures)])
        image = cv2.GaussianBlur(taken.mean(0, dtype=np.float32), (0, 0), max(blur, 0.2))
        whole = np.clip(image + noise * rng.standard_normal(image.shape), 0, 255).astype(np.uint8)
        coded = cv2.imencode(".jpg", whole, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        frames.append(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8))
    return FilmedClip(np.stack(frames), scene)


def random_scene(size: Size, num_frames: int, seed: int, moments: int = 1) -> SyntheticScene:
    """Return a random scene that depends on the arguments only.

    Args:
        size: (width, height) in pixels.
        num_frames: T.
        seed: Random seed of shapes, textures and motions.
        moments: Frames of the scene per frame of the clip.
    """
    rng = np.random.default_rng(seed)
    camera = _camera(size, num_frames, rng)
    followed = rng.random() < 0.5  # the camera follows the first object, which hardly moves in the frame
    ground, alike = rng.uniform(0.15, 0.85, 3), rng.uniform(0, 0.9)  # how close all colours are to the background's
    layers: list[Layer] = []
    for number in range(int(rng.integers(2, MOST_THINGS + 1))):
        motion = _motion(size, num_frames, rng)
        if followed and number == 0:
            motion = _against(camera, _motion(size, num_frames, rng, LARGEST_SPEED / 8))
        colour = alike * ground + (1 - alike) * rng.uniform(0.15, 0.85, 3)
        layers += _thing(f"thing {number}", size, motion, _painter(rng, colour, 1 - 0.8 * alike, plain=0.15), rng)
    layers = [layers[index] for index in rng.permutation(len(layers))]
    reach = max(1.6, LARGEST_PAN * num_frames) * size[0]
    painter = _painter(rng, ground, 1 - 0.8 * alike, plain=0.1)
    layers.append(Layer("background", Plane(), paint(-reach, -reach, size[0] + reach, size[1] + reach, painter)))
    slow = [replace(layer, motion=_slowed(layer.motion, moments)) for layer in layers]
    return SyntheticScene(size, num_frames * moments, slow, _slowed(camera, moments))


def _slowed(motion: Motion, moments: int) -> Motion:
    """Resample a motion at the moments of each frame, of which the middle one is the frame itself."""
    return lambda t: motion((t - moments // 2) / moments)  # type: ignore[arg-type]


def _camera(size: Size, num_frames: int, rng: np.random.Generator) -> Motion:
    """A camera that stands, pans, zooms or rolls, with the shake of a hand."""
    pan = rng.choice((0.0, 0.3, 1.0)) * LARGEST_PAN * size[0] * rng.uniform(-1, 1, 2) * (1.0, 0.4)
    shake, rates, phases = rng.uniform(0, 1.2), rng.uniform(0.2, 0.9, 2), rng.uniform(0, 6.3, 2)
    zoom, roll = rng.choice((0.0, 0.006)) * rng.uniform(-1, 1), rng.choice((0.0, 0.004)) * rng.uniform(-1, 1)
    centre, middle = (size[0] / 2, size[1] / 2), (num_frames - 1) / 2

    def at(t: int) -> Map:
        x, y = pan * (t - middle) + shake * np.sin(rates * t + phases) + centre
        return Similarity(float(x), float(y), roll * t, math.exp(zoom * (t - middle)), centre)

    return at


def _motion(size: Size, num_frames: int, rng: np.random.Generator, fastest: float = LARGEST_SPEED) -> Motion:
    """A motion across the view that swings, rotates and grows, rigidly or bending like cloth."""
    middle = (num_frames - 1) / 2
    speed = fastest * size[0] * rng.uniform(0, 1) * np.array((1.0, 0.5)) * rng.choice((-1, 1), 2)
    place = np.array(size) * rng.uniform(0.2, 0.8, 2)
    swing, rate, phase = size[0] * rng.uniform(0, 0.05, 2), rng.uniform(0.1, 0.5), rng.uniform(0, 6.3)
    turn = rng.choice((0.0, 0.02, 0.08)) * rng.uniform(-1, 1)
    tilt, growth = rng.uniform(-0.5, 0.5), rng.choice((0.0, 0.01)) * rng.uniform(-1, 1)
    bend = rng.choice((0.0, 1.0)) * rng.uniform(1, 4)
    wave, beat = rng.uniform(40, 90), rng.uniform(0.1, 0.6)

    def at(t: int) -> Map:
        x, y = place + speed * (t - middle) + swing * math.sin(rate * t + phase)
        placed = Similarity(float(x), float(y), tilt + turn * t, math.exp(growth * (t - middle)))
        return Chain((Ripple(bend, wave, -beat * t), placed)) if bend else placed

    return at


def _against(camera: Motion, motion: Motion) -> Motion:
    """Return the motion that appears as `motion` in the frame: it cancels the camera's motion."""

    def at(t: int) -> Map:
        return Chain((motion(t), _Inverse(camera(t))))

    return at


class _Inverse:
    """The inverse of a map."""

    def __init__(self, other: Map) -> None:
        self.forward, self.inverse = other.inverse, other.forward


def _thing(name: str, size: Size, motion: Motion, painter: Painter, rng: np.random.Generator) -> list[Layer]:
    """Return the layers of an object: a body, sometimes with swinging limbs."""
    reach = size[1] * rng.uniform(0.07, 0.24)

    def layer(part: str, shape: Shape, moved: Motion) -> Layer:
        r = shape.radius + 2
        return Layer(f"{name} {part}", shape, paint(-r, -r, r, r, painter), moved)

    layers = [layer("body", _shape(reach, rng), motion)]
    for limb in range(int(rng.choice((0, 2, 4)))):
        length, half = reach * rng.uniform(0.8, 1.6), rng.uniform(0.6, 3.0)
        swing, rate, phase = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.9), rng.uniform(0, 6.3)
        foot = reach * rng.uniform(-0.6, 0.6, 2)
        tilt = rng.uniform(-0.6, 0.6) + math.pi * (limb % 2)

        def moved(
            t: int,
            foot: np.ndarray = foot,
            swing: float = swing,
            rate: float = rate,
            phase: float = phase,
            tilt: float = tilt,
        ) -> Map:
            at_body = Similarity(float(foot[0]), float(foot[1]), tilt + swing * math.sin(rate * t + phase))
            return Chain((at_body, motion(t)))

        layers.append(layer(f"limb {limb}", rectangle(-half, 0, half, length), moved))
    return layers


def _shape(reach: float, rng: np.random.Generator) -> Shape:
    kind = rng.integers(4)
    if kind == 0:
        return Ellipse(reach, reach * rng.uniform(0.4, 1))
    if kind == 1:  # a convex polygon: corners on an ellipse in order
        angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(5, 9))))
        flat = rng.uniform(0.5, 1)
        return Polygon(tuple((float(reach * math.cos(a)), float(reach * flat * math.sin(a))) for a in angles))
    if kind == 2:
        return rectangle(-reach, -reach * rng.uniform(0.15, 0.7), reach, reach * rng.uniform(0.15, 0.7))
    blobs = [
        Ellipse(*(reach * rng.uniform(0.25, 0.6, 2)), *(reach * rng.uniform(-0.5, 0.5, 2)))
        for _ in range(int(rng.integers(2, 5)))
    ]
    return Union(tuple(blobs))


def _painter(rng: np.random.Generator, colour: NDArray[np.floating], vivid: float, plain: float) -> Painter:
    """Return a painter of natural noise, sometimes nearly plain, with or without stripes, checks or spots."""
    other = np.clip(colour + vivid * rng.uniform(-0.5, 0.5, 3), 0, 1)
    contrast = rng.uniform(0.02, 0.05) if rng.random() < plain else rng.uniform(0.08, 0.3)
    slope, pattern = rng.uniform(0.4, 1.3), rng.choice(("none", "none", "stripes", "checks", "spots"))
    period, angle, sharp = rng.uniform(5, 22), rng.uniform(0, math.pi), rng.uniform(1, 6)
    noise_seed = int(rng.integers(2**31))

    def paint_at(x: Canvas, y: Canvas) -> Canvas:
        grains = np.random.default_rng(noise_seed)
        u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
        waves = np.sin(2 * math.pi * u / period), np.sin(2 * math.pi * v / period)
        if pattern == "stripes":
            share = np.clip(0.5 + sharp * waves[0], 0, 1)
        elif pattern == "checks":
            share = np.clip(0.5 + sharp * waves[0] * waves[1], 0, 1)
        elif pattern == "spots":
            share = np.clip(sharp * (fractal_noise(x.shape, grains, 1.0) - 0.8), 0, 1)
        else:
            share = np.zeros_like(x)
        image = colour + (other - colour) * share[..., None]
        light = contrast * fractal_noise(x.shape, grains, slope)
        return np.asarray(image * (1 + light[..., None]), np.float32)

    return paint_at
