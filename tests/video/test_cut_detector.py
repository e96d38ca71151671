"""Hard cuts: found where a scene ends, and not where it only moves, flashes, fades or is occluded."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.synthetic.everyday import aquarium_scene, harbour_scene, street_scene
from omnitrack.synthetic.park import demo_scene
from omnitrack.video.cuts import CutDetector

Clip = list[NDArray[np.uint8]]
SIZE = (160, 112)


def cuts(frames: Clip) -> list[int]:
    detector = CutDetector()
    for frame in frames:
        detector.push(np.ascontiguousarray(frame))
    return detector.finish()


@pytest.fixture(scope="module")
def scenes() -> dict[str, Clip]:
    made = {"park": demo_scene, "street": street_scene, "harbour": harbour_scene, "aquarium": aquarium_scene}
    return {name: list(scene(SIZE, 24).frames()) for name, scene in made.items()}


def levels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(values, 0, 255).astype(np.uint8)


def disturb(frames: Clip, change: Callable[[int, NDArray[np.float32]], NDArray[np.floating]]) -> Clip:
    return [levels(change(t, frame.astype(np.float32))) for t, frame in enumerate(frames)]


# --- cuts -------------------------------------------------------------------------------------------------------
def test_one_cut_between_every_two_scenes(scenes: dict[str, Clip]) -> None:
    for a, b in itertools.permutations(scenes, 2):
        assert cuts(scenes[a][:8] + scenes[b][:8]) == [8], (a, b)
        assert cuts(scenes[a][:8:2] + scenes[b][:8:2]) == [4], (a, b, "every second frame")


@pytest.mark.parametrize("at", [2, 3, 10, 11])
def test_a_cut_near_an_end(scenes: dict[str, Clip], at: int) -> None:
    frames = scenes["park"][:at] + scenes["street"][: 13 - at]
    assert cuts(frames) == [at]


def test_several_cuts_and_a_shot_of_two_frames(scenes: dict[str, Clip]) -> None:
    park, street, harbour, aquarium = (scenes[name] for name in ("park", "street", "harbour", "aquarium"))
    assert cuts(park[:5] + street[:2] + harbour[:5] + aquarium[:30]) == [5, 7, 12]


@pytest.mark.parametrize("level", [0, 255])
def test_a_cut_through_a_single_blank_frame_is_one_cut_behind_it(scenes: dict[str, Clip], level: int) -> None:
    blank = np.full_like(scenes["park"][0], level)
    assert cuts([*scenes["park"][:6], blank, *scenes["harbour"][:6]]) == [7]


def test_a_cut_under_noise(scenes: dict[str, Clip]) -> None:
    rng = np.random.default_rng(0)
    frames = scenes["park"][:8] + scenes["aquarium"][:8]
    assert cuts(disturb(frames, lambda t, f: f + rng.normal(0, 20, f.shape))) == [8]


# --- no cuts ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_a_scene_that_goes_on(scenes: dict[str, Clip], stride: int) -> None:
    for name, frames in scenes.items():
        assert cuts(frames[::stride]) == [], name


@pytest.mark.parametrize("share", [0.1, 0.25])
@pytest.mark.parametrize("blurred", [False, True])
def test_a_fast_pan(scenes: dict[str, Clip], share: float, blurred: bool) -> None:
    """A camera that turns by up to a quarter of its view per frame, without and with motion blur of half of that."""
    width, height = SIZE
    wide = cv2.resize(scenes["street"][0], (4 * width, 2 * height), interpolation=cv2.INTER_CUBIC)
    if blurred:
        wide = cv2.blur(wide, (int(share * width / 2) | 1, 1))
    starts = range(0, 3 * width, int(share * width))
    assert cuts([wide[:height, x : x + width] for x in starts]) == []


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("light", [60, 255])
def test_a_flash(scenes: dict[str, Clip], length: int, light: int) -> None:
    for name, frames in scenes.items():
        lit = range(10, 10 + length)
        assert cuts(disturb(frames, lambda t, f, lit=lit: f + light * (t in lit))) == [], name  # type: ignore[misc]


@pytest.mark.parametrize("length", [1, 2, 5])
def test_black_frames_within_a_scene(scenes: dict[str, Clip], length: int) -> None:
    for name, frames in scenes.items():
        assert cuts(disturb(frames, lambda t, f: f * (not 10 <= t < 10 + length))) == [], name


def test_a_covered_lens(scenes: dict[str, Clip]) -> None:
    shares = {9: 0.4, 10: 0.8, 11: 1.0, 12: 1.0, 13: 1.0, 14: 0.8, 15: 0.4}

    def cover(t: int, frame: NDArray[np.float32]) -> NDArray[np.float32]:
        frame[:, : int(shares.get(t, 0) * frame.shape[1])] = (60, 40, 35)
        return frame

    for name, frames in scenes.items():
        assert cuts(disturb(frames, cover)) == [], name


def test_fades_and_a_dissolve(scenes: dict[str, Clip]) -> None:
    park, street = scenes["park"], scenes["street"]
    assert cuts(disturb(park, lambda t, f: f * max(0.0, 1 - t / 12))) == [], "to black"
    assert cuts(disturb(park, lambda t, f: f * min(1.0, t / 6))) == [], "from black"
    share = np.linspace(0, 1, 10)[1:-1]
    mixed = [levels(a * (1 - s) + b * s) for a, b, s in zip(park[8:16], street[:8], share, strict=True)]
    assert cuts(park[:8] + mixed + street[8:16]) == []


@pytest.mark.parametrize("gain", [0.5, 1.6])
def test_an_exposure_jump(scenes: dict[str, Clip], gain: float) -> None:
    for name, frames in scenes.items():
        assert cuts(disturb(frames, lambda t, f: f * (gain if t >= 12 else 1))) == [], name


def test_noise_stills_and_clips_too_short_for_a_cut(scenes: dict[str, Clip]) -> None:
    rng, park = np.random.default_rng(0), scenes["park"]
    assert cuts(disturb(park, lambda t, f: f + rng.normal(0, 25, f.shape))) == []
    assert cuts([park[0]] * 9) == []
    assert cuts([park[0] * 0] * 9) == []
    for count in range(4):
        assert cuts([park[0], scenes["street"][0], park[0]][:count]) == []


def test_frames_of_any_shape() -> None:
    rng = np.random.default_rng(0)
    for height, width in ((8, 8), (8, 300), (300, 9), (1, 1)):
        before, after = rng.integers(0, 256, (2, height, width, 3), np.uint8)
        assert len(cuts([before] * 4 + [after] * 4)) <= 1


def test_memory_does_not_grow_with_the_clip(scenes: dict[str, Clip]) -> None:
    detector, held = CutDetector(), []
    for _ in range(3):
        for frame in 2 * scenes["park"]:
            detector.push(frame)
        held.append(len(pickle.dumps(detector)))
    assert held[2] < 1.01 * held[0]
