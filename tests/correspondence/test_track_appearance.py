"""`TrackAppearance`: points are similar if their patches are, or if their features are sure of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.appearance import FramePatches
from omnitrack.correspondence.blurred_frames import BlurredFrames
from omnitrack.correspondence.features.sampling import FrameFeatures
from omnitrack.correspondence.track_appearance import SURE_MARGIN, TrackAppearance

SIZE = (64, 48)
POINTS = np.array([[20, 20], [40, 30], [50.5, 12.25]], np.float32)


def features(cosine: float) -> FrameFeatures:
    """Features whose similarity between frame 0 and any other frame is `cosine` everywhere."""
    other = np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)
    return FrameFeatures(lambda t: np.broadcast_to(other if t else np.float32([1, 0]), (6, 8, 2)), SIZE)


@pytest.fixture
def frames(clip: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The same frame twice, then its negative."""
    return [clip[0], clip[0], 255 - clip[0]]


def places(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.repeat(points[:, None], 3, 1)


def patches_of(frames: list[NDArray[np.uint8]]) -> FramePatches:
    return FramePatches(BlurredFrames(frames.__getitem__, SIZE))


def test_patches_alone(frames: list[NDArray[np.uint8]]) -> None:
    looks = TrackAppearance(patches_of(frames), 0.5).of(0, POINTS)
    np.testing.assert_allclose(looks.patch_similarity(1, POINTS, slice(None)), 1, atol=1e-6)
    likeness = looks.likeness(places(POINTS))
    np.testing.assert_allclose(likeness[:, :2], 0.5, atol=1e-6)
    assert (likeness[:, 2] < -0.5).all()


def test_likeness_sees_tint_and_chains_do_not(frames: list[NDArray[np.uint8]]) -> None:
    frames[1] = np.clip(frames[0].astype(int) + np.array([60, 0, -60]), 0, 255).astype(np.uint8)
    looks = TrackAppearance(patches_of(frames), 0.5).of(0, POINTS)
    assert (looks.patch_similarity(1, POINTS, slice(None)) > looks.likeness(places(POINTS))[:, 1] + 0.5 + 0.1).all()


@pytest.mark.parametrize(("cosine", "sure"), [(0.69, False), (0.71, True)])
def test_features_speak_up_where_they_are_sure(frames: list[NDArray[np.uint8]], cosine: float, sure: bool) -> None:
    assert SURE_MARGIN == 0.1
    looks = TrackAppearance(patches_of(frames), 0.5, features(cosine), 0.6).of(0, POINTS)
    likeness = looks.likeness(places(POINTS))
    assert (likeness > 0).tolist() == [[True, True, sure]] * 3
    np.testing.assert_allclose(likeness[:, 2], cosine - 0.7, atol=1e-6)


def test_features_do_not_speak_against_patches(frames: list[NDArray[np.uint8]]) -> None:
    looks = TrackAppearance(patches_of(frames), 0.5, features(-0.5), 0.6).of(0, POINTS)
    np.testing.assert_allclose(looks.likeness(places(POINTS))[:, 1], 0.5, atol=1e-6)


def test_texture_is_that_of_the_places_in_their_frames() -> None:
    """A board of 4 px squares in the left half of frame 2 only; the tracks begin in frame 1."""
    rows, columns = np.mgrid[:48, :64]
    board = np.where((columns < 32) & ((rows // 4 + columns // 4) % 2 == 0), 200, 60).astype(np.uint8)
    blank = np.full((48, 64, 3), 60, np.uint8)
    frames = [blank, blank, np.repeat(board[..., None], 3, -1)]
    found = TrackAppearance(patches_of(frames), 0.5).texture(
        np.array([[[16, 24], [16, 24]], [[16, 24], [52, 24]]], np.float32), first=1
    )
    assert found[:, 0].tolist() == [0, 0]
    assert found[0, 1] > 20
    assert found[1, 1] == 0
