"""Random and everyday scenes: reproducible, and their tracks match their images."""

from __future__ import annotations

import numpy as np
import pytest

from omnitrack.synthetic.everyday import EVERYDAY_SCENES
from omnitrack.synthetic.random_scenes import EXPOSURES, filmed_clip, random_scene

SIZE = (104, 80)


def test_a_seed_makes_the_same_clip() -> None:
    first, second, other = (filmed_clip(SIZE, 3, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first.frames, second.frames)
    assert first.frames.shape == (3, 80, 104, 3)
    assert (first.frames != other.frames).mean() > 0.5


def test_a_clip_has_the_tracks_of_the_moments_in_the_middle_of_its_exposures() -> None:
    clip = filmed_clip(SIZE, 4, 3)
    points = np.random.default_rng(0).uniform(5, 75, (40, 2))
    tracks, visible = clip.tracks(1, points)
    assert tracks.shape == (40, 4, 2)
    np.testing.assert_allclose(tracks[:, 1], points, atol=1e-4)
    assert visible[:, 1].all()
    still = random_scene(SIZE, 4, 3)
    expected, _ = still.tracks(np.column_stack([np.ones(40), points]))
    np.testing.assert_allclose(tracks, expected, atol=1e-3, err_msg=f"the same scene without {EXPOSURES} moments")


@pytest.mark.parametrize("name", sorted(EVERYDAY_SCENES))
def test_everyday_scenes_show_every_thing_and_carry_its_colours(name: str) -> None:
    scene = EVERYDAY_SCENES[name]()
    order = np.stack([scene.depth_order(t) for t in (0, 12, 23)])
    shares = {layer.name: float((order == index).mean()) for index, layer in enumerate(scene.layers)}
    assert min(shares.values()) > 0.001, shares
    first, later = scene.frame(10).astype(float), scene.frame(11).astype(float)
    flow, visible = scene.flow(10, 11)
    y, x = np.mgrid[: scene.size[1], : scene.size[0]]
    there = np.rint(np.stack([x, y], -1) + flow).astype(int)
    inner = visible & (there >= 0).all(-1) & (there[..., 0] < scene.size[0]) & (there[..., 1] < scene.size[1])
    carried = later[there[inner][:, 1], there[inner][:, 0]]
    unmoved = later[y[inner], x[inner]]
    assert np.abs(carried - first[inner]).mean() < np.abs(unmoved - first[inner]).mean()
