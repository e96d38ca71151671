"""Whole OmniMotion fields: every kind is built, stepped and restored, and a fit tracks points behind a pole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrack.errors import OmnitrackError
from omnitrack.motion.omnimotion import OmniMotionField
from omnitrack.optimize import omnimotion as recipe
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.methods import get_method
from omnitrack.settings import FitSettings, OmniMotionSettings
from omnitrack.synthetic import occluder_scene, two_planes


def fit(settings: OmniMotionSettings, **others: object) -> FitSettings:
    return replace(FitSettings(method="omnimotion"), omnimotion=settings, **others)  # type: ignore[arg-type]


# --- building and restoring -------------------------------------------------------------------------------------
@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((64, 48), 6), stride=2)


SHAPES = {
    "default": {},
    "published": {"frame_map": "none", "conditioner": "network", "samples": 4},
    "network": {"frame_map": "network"},
    "published_network": {"frame_map": "published_network"},
    "splines": {"coupling": "spline", "tracked_samples": 2},
    "two_networks": {"mapping": "two_networks"},
    "two_networks_codes": {"mapping": "two_networks", "conditioner": "network"},
}


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_starts_as_the_camera_or_nothing_steps_and_comes_back(
    data: Correspondences, tiny_omnimotion: OmniMotionSettings, name: str
) -> None:
    shape = replace(tiny_omnimotion, **SHAPES[name])
    settings = fit(shape, steps=3, anchors=32, targets=2, regions=4)
    engine = Engine(data, settings, seed=0)
    pixels = data.grid[::97].numpy()
    if shape.frame_map != "camera":
        still = engine.field.track(2, pixels, [0, 5]).pixels
        assert abs(still - pixels[:, None]).max() < 1e-3, "identity at the start"
    before = [p.clone() for p in engine.field.parameters()]
    looks = list(engine.run())
    assert not any(look.rolled_back for look in looks)
    assert any(not torch.equal(a, b) for a, b in zip(before, engine.field.parameters(), strict=True))
    state = engine.state_dict()["field"]
    again = get_method("omnimotion").restore(state, data.size, data.num_frames, settings)
    there, back = engine.field.track(2, pixels, [0, 5]), again.track(2, pixels, [0, 5])
    assert (there.pixels == back.pixels).all()
    assert (there.visible == back.visible).all()


def test_rays_without_length_are_refused(data: Correspondences, tiny_omnimotion: OmniMotionSettings) -> None:
    with pytest.raises(OmnitrackError, match=r"from depth 1 to 0\.5 has no length"):
        recipe.build(data, fit(replace(tiny_omnimotion, near=1.0, far=0.5)))


def test_the_depth_from_motion_is_laid_into_the_rays_range(
    data: Correspondences, tiny_omnimotion: OmniMotionSettings
) -> None:
    """The strip is near, the plane far, on a scale from -1 to 1, which the published range of 0 to 2 only shifts."""
    ours, published = (recipe.build(data, fit(replace(tiny_omnimotion, near=low, far=low + 2))) for low in (-1.0, 0.0))
    assert isinstance(ours, OmniMotionField)
    assert isinstance(published, OmniMotionField)
    torch.testing.assert_close(published.first_depth, ours.first_depth + 1)
    assert ours.first_depth.min() < -0.1 < 0.4 < ours.first_depth.max()


def test_learning_rates_belong_to_their_parts(data: Correspondences, tiny_omnimotion: OmniMotionSettings) -> None:
    settings = replace(tiny_omnimotion, learning_rate=1.0, time_learning_rate=2.0, canonical_learning_rate=3.0)
    field = recipe.build(data, fit(settings))
    assert isinstance(field, OmniMotionField)
    found = recipe.groups(field, fit(settings))
    rate_of = {id(p): rate for parameters, rate, _ in found for p in parameters}
    assert len(rate_of) == len(list(field.parameters()))
    assert {rate_of[id(p)] for p in field.volume.parameters()} == {3.0}
    assert {rate_of[id(p)] for p in field.warp.time.parameters()} == {2.0}
    assert {rate_of[id(p)] for p in field.warp.layers[0].parameters()} == {1.0}  # type: ignore[union-attr]


# --- a whole fit ------------------------------------------------------------------------------------------------
def test_a_short_fit_follows_points_behind_a_pole_and_orders_the_surfaces(
    exact_correspondences: Callable[..., Correspondences],
) -> None:
    """The pole is as static as the background: only what it occludes shows that it is in front."""
    scene = occluder_scene((96, 72), 14, speed=3.0)
    data = exact_correspondences(scene, stride=3)
    settings = OmniMotionSettings(tracked_samples=2, canonical_learning_rate=1e-2)  # a volume within few steps
    engine = Engine(data, fit(settings, steps=200, anchors=192, targets=3), seed=3)
    assert not any(look.rolled_back for look in engine.run())
    middle = scene.num_frames // 2
    names, order = [layer.name for layer in scene.layers], scene.depth_order(middle)
    depth = engine.field.depth_map(middle)
    beside = np.zeros(order.shape, bool)
    beside[28:44] = True  # the rows in which the pole covers the disc
    things = [beside & (order == names.index(name)) for name in ("pole", "disc", "background")]
    pole, disc, background = (np.median(depth[thing]) for thing in things)
    assert pole < disc < background
    queries = np.argwhere(scene.depth_order(0) == names.index("disc"))[::7, ::-1]
    truth, seen = scene.tracks(np.column_stack([np.zeros(len(queries)), queries]))
    found = engine.field.track(0, queries.astype(np.float32), range(scene.num_frames))
    hidden_before = ~seen[:, 1:-1].all(1) & seen[:, -1]
    assert hidden_before.sum() > 10
    error = np.linalg.norm(found.pixels - truth, axis=-1)
    assert np.median(error[hidden_before, -1]) < 3.0
    assert (found.visible == seen).mean() > 0.85
