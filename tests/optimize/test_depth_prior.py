"""A depth prior on clips with exact correspondences: the scales of its frames, and which priors are trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitrack.motion.geometry import Camera
from omnitrack.optimize.camera_motion import camera_motion
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_alignment import align_frames
from omnitrack.optimize.depth_from_motion import depth_from_motion
from omnitrack.optimize.depth_prior import DepthPrior, believe, mix, sample, to_field
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.occlusion_order import FAR, NEAR
from omnitrack.settings import CadexSettings, FitSettings, OmniMotionSettings
from omnitrack.synthetic import SyntheticScene, occluder_scene, translating_scene

SIZE = (128, 96)
DISTANCES = torch.tensor([2.0, 4.0, 8.0])  # of pole, disc and background
Make = Callable[..., Correspondences]


@pytest.fixture(scope="module")
def scene() -> SyntheticScene:
    return occluder_scene(SIZE, 10, speed=6.0)


@pytest.fixture
def data(exact_correspondences: Make, scene: SyntheticScene) -> Correspondences:
    return exact_correspondences(scene, stride=3)


@pytest.fixture
def exact(scene: SyntheticScene) -> Tensor:
    """(T, H, W) distance of the surface visible in each pixel."""
    return DISTANCES[torch.as_tensor(np.stack([scene.depth_order(t) for t in range(scene.num_frames)]))]


def noise(like: Tensor, smooth: int = 9) -> Tensor:
    values = torch.rand(like.shape, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.avg_pool2d(values[:, None], smooth, 1, smooth // 2)[:, 0]


# --- alignment --------------------------------------------------------------------------------------------------
def test_alignment_takes_back_known_scales_and_shifts(exact_correspondences: Make) -> None:
    """One plane of varied depth that moves by whole texels: the ground truth is exact in every frame."""
    scene = translating_scene((3.0, 3.0), (96, 72), 6)
    data = exact_correspondences(scene, stride=3)
    rows, columns = data.grid_shape
    around = torch.rand(rows + 8, columns + 8, generator=torch.Generator().manual_seed(1)) + 1
    truth = torch.stack([around[6 - t : 6 - t + rows, 6 - t : 6 - t + columns] for t in range(6)]).flatten(1)
    scales = torch.tensor([0.5, 2.0, 1.0, 0.25, 4.0, 1.0])  # their product is 1
    shifts = torch.tensor([3.0, -1.0, 0.0, 2.0, -4.0, 0.5])
    known = torch.ones_like(truth, dtype=torch.bool)
    found_scale, found_shift = align_frames((truth - shifts[:, None]) / scales[:, None], known, data)
    torch.testing.assert_close(found_scale, scales, rtol=1e-4, atol=0)
    torch.testing.assert_close(found_shift, shifts - shifts.mean(), rtol=0, atol=1e-3)


def test_alignment_does_not_mind_a_fifth_of_outliers(exact_correspondences: Make) -> None:
    scene = translating_scene((3.0, 0.0), (96, 72), 5)
    data = exact_correspondences(scene, stride=3)
    rows, columns = data.grid_shape
    generator = torch.Generator().manual_seed(1)
    around = torch.rand(rows, columns + 8, generator=generator)
    truth = torch.stack([around[:, 5 - t : 5 - t + columns] for t in range(5)]).flatten(1)
    wrong = torch.rand(truth.shape, generator=generator) < 0.1  # so that one end of a fifth of the pairs is wrong
    spoilt = torch.where(wrong, 5 * torch.rand(truth.shape, generator=generator), truth)
    scales, shifts = torch.tensor([0.5, 1.0, 2.0, 1.0, 1.0]), torch.tensor([1.0, 0.0, -1.0, 0.0, 0.0])
    known = torch.ones_like(truth, dtype=torch.bool)
    found_scale, found_shift = align_frames((spoilt - shifts[:, None]) / scales[:, None], known, data)
    torch.testing.assert_close(found_scale, scales, rtol=0.02, atol=0)
    torch.testing.assert_close(found_shift, shifts, rtol=0, atol=0.03)


def test_frames_that_nothing_ties_together_stay_as_they_are(data: Correspondences, exact: Tensor) -> None:
    alone = replace(data, confidence=torch.zeros_like(data.confidence))
    values, known = sample(DepthPrior(exact, inverse=False), alone)
    scale, shift = align_frames(values, known, alone)
    assert scale.tolist() == [1.0] * 10
    assert shift.tolist() == [0.0] * 10


def test_a_map_of_any_resolution_is_sampled_at_the_same_places(data: Correspondences, exact: Tensor) -> None:
    once, _ = sample(DepthPrior(exact, inverse=False), data)
    finer = exact.repeat_interleave(3, 1).repeat_interleave(3, 2)
    thrice, _ = sample(DepthPrior(finer, inverse=False), data)
    torch.testing.assert_close(once, thrice)
    coarse, _ = sample(DepthPrior(torch.tensor([[[1.0, 2.0]]]).expand(10, 1, 2), inverse=True), data)
    left = data.grid[:, 0] < SIZE[0] / 2 - 0.5
    assert coarse[0][left].unique().tolist() == [-1.0]
    assert coarse[0][~left].unique().tolist() == [-2.0]


# --- the field's units ------------------------------------------------------------------------------------------
def test_units_of_an_orthographic_field() -> None:
    """Inverse depth, scaled to the range from NEAR to FAR: distances 2, 4, 8 have 1/2, 1/4, 1/8."""
    depth = torch.tensor([2.0, 4.0, 8.0]).repeat(50)[None]
    known = torch.ones_like(depth, dtype=torch.bool)
    expected = torch.tensor([NEAR, NEAR + 2 / 3, FAR])
    torch.testing.assert_close(to_field(depth, known, Camera(SIZE), False)[0, :3], expected)
    torch.testing.assert_close(to_field(-1 / depth, known, Camera(SIZE), True)[0, :3], expected)


def test_units_of_a_perspective_field() -> None:
    """Distances from the pinhole, scaled: the ends are NEAR and FAR from the plane."""
    camera = Camera(SIZE, perspective=True)
    near, far = camera.plane_distance + NEAR, camera.plane_distance + FAR
    distance = torch.linspace(near, far, 2001)[None]
    known = torch.ones_like(distance, dtype=torch.bool)
    low, high = torch.quantile(distance, torch.tensor([0.02, 0.98]))
    expected = NEAR + (distance - low) / (high - low) * (FAR - NEAR)
    found = to_field(7 * distance, known, camera, False)  # at any scale
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    # with disparities, the inverse of the distance is linear, and the ends of the range are the same
    disparity = 5 / distance - 3
    inverse = 1 / (camera.plane_distance + to_field(-disparity, known, camera, True)[0])
    slopes = inverse.diff()[100:-100] / disparity[0].diff()[100:-100]
    torch.testing.assert_close(slopes, slopes[:1].expand_as(slopes), rtol=2e-2, atol=0)
    assert float(1 / inverse[40] - camera.plane_distance) == pytest.approx(NEAR, abs=1e-3)
    assert float(1 / inverse[1960] - camera.plane_distance) == pytest.approx(FAR, abs=1e-3)


# --- trust ------------------------------------------------------------------------------------------------------
def right_priors(exact: Tensor) -> dict[str, DepthPrior]:
    generator = torch.Generator().manual_seed(0)
    scale, shift = (torch.rand(10, 1, 1, generator=generator) + 0.5 for _ in range(2))
    return {
        "depth": DepthPrior(exact, inverse=False),
        "disparity": DepthPrior(1 / exact, inverse=True),
        "disparity on unlike scales": DepthPrior(scale / exact + shift, inverse=True),
        "depth on unlike scales": DepthPrior(scale * exact + shift, inverse=False),
    }


def wrong_priors(exact: Tensor) -> dict[str, DepthPrior]:
    ramp = torch.linspace(0, 1, SIZE[1])[None, :, None].expand_as(exact)
    return {
        "upside down": DepthPrior(exact, inverse=True),
        "upside down, as depth": DepthPrior(1 / exact, inverse=False),
        "noise": DepthPrior(noise(exact, 1), inverse=True),
        "smooth noise": DepthPrior(noise(exact), inverse=True),
        "constant": DepthPrior(torch.ones_like(exact), inverse=False),
        "ramp": DepthPrior(ramp, inverse=True),
        "nothing but holes": DepthPrior(torch.zeros_like(exact), inverse=False),
        "noise that never changes": DepthPrior(noise(exact)[:1].expand_as(exact), inverse=True),
        "frames shuffled": DepthPrior(exact[[3, 7, 0, 9, 5, 1, 8, 2, 6, 4]], inverse=False),
    }


def test_right_priors_are_believed_and_put_the_layers_in_order(
    scene: SyntheticScene, data: Correspondences, exact: Tensor
) -> None:
    camera = Camera(SIZE)
    motion = depth_from_motion(data, camera, camera_motion(data, camera))
    for name, prior in right_priors(exact).items():
        belief = believe(prior, data, camera)
        assert belief.weight.mean() > 0.9, name
        assert belief.order > 0.9, name
        assert belief.consistency > 0.9, name
        depth = mix(data, motion, belief)
        assert depth.shape == motion.shape
        for frame in (2, 5):
            owner = torch.as_tensor(scene.top_layer(frame, data.grid.numpy()))
            pole, disc, ground = (depth[frame].flatten()[owner == index].median() for index in range(3))
            assert pole < disc - 0.1 < ground - 0.2, name


def test_wrong_priors_leave_the_depth_from_motion_as_it_was(data: Correspondences, exact: Tensor) -> None:
    camera = Camera(SIZE)
    motion = depth_from_motion(data, camera, camera_motion(data, camera))
    for name, prior in wrong_priors(exact).items():
        belief = believe(prior, data, camera)
        assert belief.weight.max() == 0, name
        assert torch.equal(mix(data, motion, belief), motion), name


def test_a_prior_upside_down_shows_in_the_order(data: Correspondences, exact: Tensor) -> None:
    upside_down = believe(DepthPrior(exact, inverse=True), data, Camera(SIZE))
    assert upside_down.order < 0.1
    assert upside_down.consistency > 0.9
    new_noise = believe(DepthPrior(noise(exact, 1), inverse=True), data, Camera(SIZE))
    assert new_noise.consistency < 0.3  # in a few frames, some tracks agree by chance


def test_a_prior_has_to_follow_what_moves(data: Correspondences, exact: Tensor) -> None:
    """Pole and ground never move: the maps of other frames are right except for the disc, and order most occlusions."""
    shuffled = believe(wrong_priors(exact)["frames shuffled"], data, Camera(SIZE))
    assert shuffled.order > 0.65
    assert shuffled.consistency > 0.8
    assert shuffled.follows < 0.1
    assert believe(wrong_priors(exact)["ramp"], data, Camera(SIZE)).follows == 0
    assert believe(DepthPrior(exact, inverse=False), data, Camera(SIZE)).follows > 0.6
    still = replace(data, displacement=torch.zeros_like(data.displacement))
    assert believe(DepthPrior(exact, inverse=False), still, Camera(SIZE)).follows == 0


def test_where_the_order_is_wrong_in_a_part_it_is_believed_less_there(
    scene: SyntheticScene, data: Correspondences, exact: Tensor
) -> None:
    """The pole is put behind the disc; everything else is right."""
    spoilt = torch.where(exact == DISTANCES[0], 6.0, exact)
    right, wrong = (believe(DepthPrior(maps, inverse=False), data, Camera(SIZE)) for maps in (exact, spoilt))
    owner = torch.as_tensor(np.stack([scene.top_layer(t, data.grid.numpy()) for t in range(scene.num_frames)]))
    beside_the_disc = (data.grid[:, 1] - SIZE[1] / 2).abs() < 12
    pole = (owner == 0) & beside_the_disc
    assert right.weight[pole].mean() > 0.8
    assert wrong.weight[pole].mean() < 0.2


def test_a_little_noise_is_borne(data: Correspondences, exact: Tensor) -> None:
    noisy = 1 / exact + 0.05 * (torch.rand(exact.shape, generator=torch.Generator().manual_seed(0)) - 0.5)
    assert believe(DepthPrior(noisy, inverse=True), data, Camera(SIZE)).weight.mean() > 0.6


def test_holes_are_filled_by_motion(data: Correspondences, exact: Tensor) -> None:
    holes = exact.clone()
    holes[:, 60:] = 0
    weight = believe(DepthPrior(holes, inverse=False), data, Camera(SIZE)).weight
    below = data.grid[:, 1] > 60
    assert weight[:, below].max() == 0
    assert weight[:, ~below].mean() > 0.8


def test_without_occlusions_nothing_says_that_it_is_right(data: Correspondences, exact: Tensor) -> None:
    seen = replace(data, occluded=torch.zeros_like(data.occluded))
    belief = believe(DepthPrior(exact, inverse=False), seen, Camera(SIZE))
    assert belief.order == 0.5
    assert belief.weight.max() == 0


# --- in a fit ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["cadex", "omnimotion"])
def test_both_methods_start_from_it(
    data: Correspondences, exact: Tensor, small_fit: FitSettings, tiny_omnimotion: OmniMotionSettings, method: str
) -> None:
    settings = replace(small_fit, method=method, omnimotion=tiny_omnimotion)

    def start(prior: DepthPrior | None) -> Tensor:
        field = Engine(data, settings, 0, prior).field
        depth: Tensor = field.depth.initial if method == "cadex" else field.first_depth
        return depth

    without = start(None)
    assert torch.equal(start(DepthPrior(exact, inverse=True)), without)
    believed = start(DepthPrior(exact, inverse=False))
    assert (believed - without).abs().mean() > 0.05


def test_a_wrong_prior_changes_no_step(data: Correspondences, exact: Tensor, small_fit: FitSettings) -> None:
    settings = replace(small_fit, steps=5)
    without, wrong = Engine(data, settings, 0), Engine(data, settings, 0, DepthPrior(exact, inverse=True))
    assert [look.losses for look in without.run()] == [look.losses for look in wrong.run()]


def test_flat_depth_leaves_it_out(data: Correspondences, exact: Tensor, small_fit: FitSettings) -> None:
    flat = replace(small_fit, cadex=CadexSettings(**{**vars(small_fit.cadex), "depth_start": "flat"}))
    assert Engine(data, flat, 0, DepthPrior(exact, inverse=False)).field.depth.initial.abs().max() == 0
