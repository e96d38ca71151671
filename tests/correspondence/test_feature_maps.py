"""Features as descriptors: what the whole clip has in common does not matter, and joined cosines are means."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from omnitrack.correspondence.descriptors.comparing import STEPS
from omnitrack.correspondence.descriptors.feature_maps import CHANNELS, FeatureMaps
from omnitrack.correspondence.descriptors.maps import FEATURES_SHARE, ClipDescriptors
from omnitrack.correspondence.descriptors.patches import PatchDescriber
from omnitrack.correspondence.descriptors.two_views import two_views
from omnitrack.correspondence.features.contract import unit_length

RANDOM = np.random.default_rng(0)
FRAMES = 5
COMMON = 4 * RANDOM.normal(size=48)
MAPS = unit_length((COMMON + RANDOM.normal(size=(FRAMES, 6, 8, 48))).astype(np.float32))
SHAPE = (12, 16)


def maps(values: NDArray[np.float32] = MAPS) -> FeatureMaps:
    return FeatureMaps(values.__getitem__, len(values))


def cosines(a: Tensor, b: Tensor) -> Tensor:
    return a.flatten(1).T @ b.flatten(1)


def test_what_all_features_have_in_common_is_taken_out() -> None:
    flat = MAPS.reshape(-1, 48)
    assert np.median(flat @ flat.T) > 0.9, "as tokens are"
    found = [maps().of(t, (6, 8)) for t in range(FRAMES)]
    between = cosines(found[0], found[1])
    assert abs(float(between.median())) < 0.1
    assert torch.allclose(cosines(found[0], found[0]).diagonal(), torch.ones(48), atol=1e-5)


def test_a_map_has_the_size_asked_for_and_the_channels_that_tell() -> None:
    found = maps().of(2, SHAPE)
    assert found.shape == (CHANNELS, *SHAPE)
    assert torch.allclose(found.norm(dim=0), torch.ones(SHAPE), atol=1e-5)
    few = unit_length(RANDOM.normal(size=(FRAMES, 6, 8, 5)).astype(np.float32))
    assert maps(few).of(0, SHAPE).shape == (5, *SHAPE)


def test_cells_without_features_are_like_nothing() -> None:
    holes = MAPS.copy()
    holes[:, :, :4] = 0
    found = maps(holes).of(0, (6, 8))
    assert not found[:, :, :3].any() and found[:, :, 5:].any(0).all()
    alone = maps(MAPS[:1])
    assert torch.isfinite(alone.of(0, SHAPE)).all()
    same = np.broadcast_to(MAPS[:1, :1, :1], MAPS.shape).copy()
    assert torch.isfinite(maps(same).of(0, SHAPE)).all()


def test_a_map_does_not_depend_on_what_was_asked_before() -> None:
    one, other = maps(), maps()
    for t in (4, 0, 2):
        other.of(t, SHAPE)
    assert torch.equal(one.of(3, SHAPE), other.of(3, SHAPE))


def test_cosines_of_joined_descriptors_are_means_of_both() -> None:
    frames = RANDOM.integers(0, 255, (FRAMES, 12, 16, 3), np.uint8)

    def descriptors(features: FeatureMaps | None) -> ClipDescriptors:
        still = np.zeros((12, 16, 2), np.float32)
        views = two_views(lambda *_: still, FRAMES, (16, 12))
        return ClipDescriptors(
            PatchDescriber(), frames.__getitem__, lambda: views, (16, 12), 12, 1e6, features=features
        )

    alone, joined, features = descriptors(None), descriptors(maps()), maps()
    assert joined.of(0).shape[1] == alone.of(0).shape[1] + CHANNELS
    a, b = joined.of(0).float() / STEPS, joined.of(1).float() / STEPS
    patches = (alone.of(0).float() / STEPS) @ (alone.of(1).float() / STEPS).T
    learned = cosines(features.of(0, SHAPE), features.of(1, SHAPE))
    assert torch.allclose(a @ b.T, (1 - FEATURES_SHARE) * patches + FEATURES_SHARE * learned, atol=0.03)
    assert float(a.norm(dim=1).max()) < 1.02, "of length at most 1, but for the steps"
