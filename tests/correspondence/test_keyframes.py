"""Keyframes and places that come into view again, on clips with known camera motion."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence import place_recognition
from omnitrack.correspondence.keyframes import GAPS, Keyframes, find_keyframes, thumbnail
from omnitrack.correspondence.pairs import select_pairs
from omnitrack.correspondence.place_recognition import alike_frames, global_descriptor, pooled
from omnitrack.synthetic import SyntheticScene, panorama_scene, translating_scene
from omnitrack.synthetic.maps import Similarity
from omnitrack.synthetic.scenes import _background

SWEEP, WIDTH = 30, 96


@pytest.fixture(scope="module")
def panorama() -> SyntheticScene:
    """A pan over a scene of 2.2 widths in 30 frames, and back in 30."""
    return panorama_scene((WIDTH, 72), 2 * SWEEP + 1, sweep=SWEEP)


@pytest.fixture(scope="module")
def found(panorama: SyntheticScene) -> Keyframes:
    return find_keyframes(panorama.frame, panorama.num_frames)


def left_edge(t: int) -> float:
    """Return the left edge of the view in the panorama, in widths of the frame."""
    return 1.2 * (1 - math.cos(math.pi * t / SWEEP)) / 2


# --- where a keyframe begins ------------------------------------------------------------------------------------
def gaps_of(scene: SyntheticScene) -> list[int]:
    frames = find_keyframes(scene.frame, scene.num_frames).frames
    assert (frames[0], frames[-1]) == (0, scene.num_frames - 1)
    return [b - a for a, b in itertools.pairwise(frames)]


@pytest.mark.parametrize(("px", "gap"), [(0.0, 8), (1.0, 8), (3.5, 5), (4.5, 4), (8.0, 3), (20.0, 3)])
def test_a_keyframe_begins_when_sixteen_pixels_have_passed(px: float, gap: int) -> None:
    """At a steady speed, in pixels at 256 x 256 per frame; keyframes are 3 to 8 frames apart."""
    scene = translating_scene((px * 96 / 256, 0), (96, 96), 17)
    assert set(gaps_of(scene)[:-1]) == {gap}


def test_motion_is_measured_from_the_keyframe_and_not_summed_up() -> None:
    """A shaking camera moves by 9 px at 256 x 256 in every frame, but stays near where it was."""
    shaking = SyntheticScene((96, 72), 17, [_background((96, 72), 0, lambda t: Similarity(3.4 * (t % 2)))])
    assert gaps_of(shaking) == [8, 8]


def test_a_keyframe_begins_when_much_of_it_is_gone() -> None:
    """A cut without motion: from frame 6 on, the image is a different one."""
    first, second = translating_scene((0, 0), (96, 72), 12, seed=1), translating_scene((0, 0), (96, 72), 12, seed=2)
    cut = find_keyframes(lambda t: (first if t < 6 else second).frame(t), 12)
    assert cut.frames == [0, 6, 11]


def test_frames_are_asked_for_once_and_in_order(panorama: SyntheticScene) -> None:
    asked: list[int] = []

    def frame(t: int) -> NDArray[np.uint8]:
        asked.append(t)
        return panorama.frame(t)

    find_keyframes(frame, 20)
    assert asked == list(range(20))


# --- which keyframes are linked ---------------------------------------------------------------------------------
def test_keyframes_that_see_the_same_place_again_are_linked(found: Keyframes) -> None:
    """Each keyframe on the way out, except those near the turn, is linked to where the way back passes by."""
    returns = {(a, b) for a, b in found.links if a < 15 and b > 45}
    for a in (t for t in found.frames if t < 15):
        offsets = [abs(left_edge(a) - left_edge(b)) for start, b in returns if start == a]
        assert offsets, f"keyframe {a} has no link to the way back"
        assert min(offsets) < 0.1


def test_keyframes_of_other_places_are_not_linked(found: Keyframes) -> None:
    apart = [abs(left_edge(a) - left_edge(b)) for a, b in found.links]
    assert max(apart) < 0.6
    unseen = [abs(left_edge(a) - left_edge(b)) > 0.8 for a, b in itertools.combinations(found.frames, 2)]
    assert np.mean(unseen) > 0.1, "there are keyframes without anything in common"


def test_links_are_of_keyframes_more_than_two_apart_and_spread_over_them(found: Keyframes) -> None:
    place = {frame: index for index, frame in enumerate(found.frames)}
    assert all(place[b] - place[a] > 2 for a, b in found.links)
    assert len(set(found.links)) == len(found.links)
    first = found.links[: len(found.frames) // 4]
    assert len({end for pair in first for end in pair}) > 1.5 * len(first), "the first links share few keyframes"


def test_the_same_clip_has_the_same_keyframes(panorama: SyntheticScene, found: Keyframes) -> None:
    assert find_keyframes(panorama.frame, panorama.num_frames) == found


def test_a_clip_without_returns_has_no_far_links() -> None:
    scene = panorama_scene((WIDTH, 72), 60, sweep=75, width=6.0)
    links = find_keyframes(scene.frame, 60).links
    assert all(b - a < 20 for a, b in links)


def test_descriptors_of_features_are_used_where_they_are_given(panorama: SyntheticScene) -> None:
    asked = []

    def nothing_alike(t: int) -> NDArray[np.float32]:
        asked.append(t)
        return np.eye(100, dtype=np.float32)[t]

    found = find_keyframes(panorama.frame, panorama.num_frames, nothing_alike)
    assert asked == found.frames
    place = {frame: index for index, frame in enumerate(found.frames)}
    assert {place[b] - place[a] for a, b in found.links} <= {4, 8, 16}, "nothing is retrieved"


@pytest.mark.parametrize("num_frames", [0, 1, 2, 3])
def test_very_short_clips(num_frames: int) -> None:
    scene = translating_scene((9.0, 0.0), (96, 72), 3)
    found = find_keyframes(scene.frame, num_frames)
    assert found == Keyframes([[], [0], [0, 1], [0, 2]][num_frames], [])
    expected = {(a, b) for a in range(num_frames) for b in range(num_frames) if a != b}
    assert set(select_pairs("keyframe", num_frames, lambda: found)) == expected


def test_tiny_and_flat_frames() -> None:
    for shape in ((1, 1, 3), (9, 5, 3), (40, 64, 3)):
        grey = np.full(shape, 90, np.uint8)
        found = find_keyframes(lambda t, grey=grey: grey, 40)  # type: ignore[misc]
        assert found.frames == [0, 8, 16, 24, 32, 39]


# --- descriptors and neighbours ---------------------------------------------------------------------------------
def test_mutual_neighbours_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows 0 and 9, and 2 and 11, point the same way; all others are orthogonal to everything."""
    monkeypatch.setattr(place_recognition, "LEAST_PLACES", 3)
    rows = np.eye(12, dtype=np.float32)
    rows[9], rows[11] = rows[0], rows[2]
    assert alike_frames(rows) == [(0, 9), (2, 11)]
    rows[10] = rows[9]  # within three rows of 9, but not of 0
    assert alike_frames(rows) == [(0, 9), (0, 10), (2, 11)]


def test_neighbours_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
    whole = alike_frames(rows)
    monkeypatch.setattr(place_recognition, "BLOCK_ROWS", 7)
    assert alike_frames(rows) == whole
    assert 0 < len(whole) <= 2 * len(rows)


def test_look_tells_places_apart_and_bears_a_shift_and_a_change_of_light(panorama: SyntheticScene) -> None:
    here, there = panorama.frame(0), panorama.frame(SWEEP)
    moved, darker = panorama.frame(3), (here * 0.6).astype(np.uint8)
    mean = np.mean([global_descriptor(panorama.frame(t)) for t in range(0, 60, 5)], 0)

    def likeness(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        x, y = global_descriptor(a) - mean, global_descriptor(b) - mean
        return float(x @ y / np.linalg.norm(x) / np.linalg.norm(y))

    assert likeness(here, darker) > 0.9
    assert likeness(here, moved) > 0.6
    assert likeness(here, there) < 0.2


def test_pooled_features_are_the_mean_direction() -> None:
    features = np.array([[[1, 0], [0, 1]], [[1, 0], [1, 0]]], np.float32)
    np.testing.assert_allclose(pooled(features), np.array([3, 1]) / math.sqrt(10), rtol=1e-6)


def test_thumbnails_keep_the_shape_and_small_frames_their_size(
    textured_clip: Callable[..., NDArray[np.uint8]],
) -> None:
    assert thumbnail(np.zeros((480, 854, 3), np.uint8)).shape == (72, 128, 3)
    frame = textured_clip(2, (64, 48))[0]
    np.testing.assert_array_equal(thumbnail(frame), frame)


# --- a thousand frames ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("gap", GAPS)
def test_a_thousand_frames_stay_within_t_log_t(gap: int) -> None:
    """However similar everything is: a camera that goes in circles passes every place a hundred times."""
    frames = sorted({*range(0, 1000, gap), 999})
    angle = np.array(frames) * 2 * np.pi / 10
    candidates = alike_frames(np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32))
    assert len(candidates) <= 2 * len(frames)
    links = [(frames[a], frames[b]) for a, b in candidates]
    pairs = select_pairs("keyframe", 1000, lambda: Keyframes(frames, links))
    assert {*links} <= {*pairs} or len(pairs) > 0.99 * 1000 * math.log2(1000)
    assert len(pairs) <= 1000 * math.log2(1000)
