"""The initial field of a fit, on scenes with known camera motion and order of layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrack.motion.geometry import Camera
from omnitrack.optimize import camera_motion as camera_module
from omnitrack.optimize.camera_motion import REVISIT_STEPS, _ways_to, camera_motion
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.depth_from_motion import depth_from_motion
from omnitrack.optimize.occlusion_order import FAR, NEAR
from omnitrack.synthetic import (
    SyntheticScene,
    occluder_scene,
    panorama_scene,
    static_scene,
    translating_scene,
    two_planes,
)
from omnitrack.synthetic.maps import Similarity

SIZE = (96, 64)
Make = Callable[..., Correspondences]


def filmed(scene: SyntheticScene, num_frames: int) -> SyntheticScene:
    """Return the scene filmed by a camera that pans, turns and zooms."""

    def camera(t: int) -> Similarity:
        return Similarity(48 + 1.5 * t, 32 - t, 0.01 * t, 1 + 0.02 * t, pivot=(48, 32))

    return SyntheticScene(scene.size, num_frames, scene.layers, camera)


def mapped(affine: torch.Tensor, data: Correspondences, pixels: np.ndarray, source: int, target: int) -> np.ndarray:
    """Map pixels of one frame to another through the canonical plane."""
    half, centre = max(data.size) / 2, (np.array(data.size) - 1) / 2
    a, b = affine[source].double().numpy(), affine[target].double().numpy()
    canonical = (pixels - centre) / half @ a[:, :2].T + a[:, 2]
    return (canonical - b[:, 2]) @ np.linalg.inv(b[:, :2]).T * half + centre


def layer_depths(scene: SyntheticScene, data: Correspondences, depth: torch.Tensor, frame: int) -> list[float]:
    """Return the median depth of the texels of each layer in a frame, nearest layer first."""
    owner = torch.as_tensor(scene.top_layer(frame, data.grid.numpy()))
    return [float(depth[frame].flatten()[owner == index].median()) for index in range(len(scene.layers))]


@pytest.mark.parametrize("perspective", [False, True])
def test_camera_motion_of_a_pan_turn_and_zoom(exact_correspondences: Make, perspective: bool) -> None:
    scene = filmed(static_scene(SIZE), 5)
    data = exact_correspondences(scene, stride=4)
    affine = camera_motion(data, Camera(SIZE, perspective))
    assert affine.shape == (5, 2, 3)
    points = np.array([[20.0, 20], [70, 15], [48, 32], [30, 55]])
    for source in range(5):
        tracks, _ = scene.tracks(np.column_stack([np.full(4, source), points]))
        for target in range(5):
            found = mapped(affine, data, points, source, target)
            np.testing.assert_allclose(found, tracks[:, target], atol=0.05)


def test_camera_motion_is_not_drawn_away_by_a_moving_object(exact_correspondences: Make) -> None:
    scene = filmed(occluder_scene(SIZE, 6, speed=3.0), 6)
    data = exact_correspondences(scene, stride=3)
    affine = camera_motion(data, Camera(SIZE))
    corner = np.array([[10.0, 10], [85, 55]])  # on the background
    tracks, _ = scene.tracks(np.column_stack([[0, 0], corner]))
    np.testing.assert_allclose(mapped(affine, data, corner, 0, 5), tracks[:, 5], atol=0.1)


def test_a_place_that_is_seen_again_stops_the_drift(
    exact_correspondences: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = panorama_scene(SIZE, 25, sweep=6)  # frames 12, the middle one, and 24 show the same position
    data = exact_correspondences(scene, stride=8)
    gap = (data.targets - data.sources[:, None]) * (data.targets >= 0)
    bias = (gap.abs() == 1) * gap * round(0.5 / data.unit_px)  # half a pixel per step, which no step back cancels
    shift = torch.stack([bias, torch.zeros_like(bias)], -1)[:, :, None].to(data.displacement.dtype)
    data = replace(data, displacement=data.displacement + shift)

    def drift() -> float:
        there = mapped(camera_motion(data, Camera(SIZE)), data, np.array([[48.0, 10]]), 12, 24)
        truth, _ = scene.tracks(np.array([[12, 48.0, 10]]))
        return float(np.linalg.norm(there - truth[:, 24]))

    assert drift() > 4  # twelve steps of half a pixel
    monkeypatch.setattr(camera_module, "REVISIT_FRAMES", 8)
    monkeypatch.setattr(camera_module, "REVISIT_STEPS", 1)
    assert drift() < 0.5


def test_ways_to_the_middle_frame_by_hand() -> None:
    steps = _ways_to(2, 5, [])
    assert steps == {1: 2, 3: 2, 0: 1, 4: 3}
    far = 2 * REVISIT_STEPS + 3
    ways = _ways_to(0, far + 1, [(1, far)])  # 1 + 8 steps through the revisit, not 19
    assert ways[far] == 1
    assert ways[far - 1] == far
    assert ways[4] == 3


def test_the_union_of_all_frames_just_fits_the_canonical_square(exact_correspondences: Make) -> None:
    data = exact_correspondences(translating_scene((6.0, 0.0), SIZE, 5), stride=4)
    affine = camera_motion(data, Camera(SIZE)).double().numpy()
    corners = np.array([[x, y, 1] for x in (-1, 1) for y in (-64 / 96, 64 / 96)]).T
    extent = affine @ corners
    np.testing.assert_allclose([extent[:, 0].min(), extent[:, 0].max()], [-1, 1], atol=1e-5)
    # 96 + 4 * 6 pixels wide, 64 high
    np.testing.assert_allclose([extent[:, 1].min(), extent[:, 1].max()], [-64 / 120, 64 / 120], atol=1e-3)


def test_camera_motion_needs_one_direction_of_neighbours_only(exact_correspondences: Make) -> None:
    """Of a large file, every n-th source frame is read: 2 -> 1 and 2 -> 3 must replace 1 -> 2 and 3 -> 2."""
    scene = translating_scene((2.0, 1.0), SIZE, 5)
    data = exact_correspondences(scene, stride=4, sources=[0, 2, 4])
    affine = camera_motion(data, Camera(SIZE))
    np.testing.assert_allclose(mapped(affine, data, np.array([[40.0, 30]]), 0, 4), [[48, 34]], atol=0.05)


def test_camera_stands_still_where_nothing_is_known(exact_correspondences: Make) -> None:
    data = exact_correspondences(translating_scene((2.0, 1.0), SIZE, 4), stride=4)
    data.confidence.zero_()
    affine = camera_motion(data, Camera(SIZE))
    torch.testing.assert_close(affine, torch.eye(2, 3).expand(4, 2, 3), atol=1e-6, rtol=0)


def test_depth_of_a_plane_under_the_camera_is_far(exact_correspondences: Make) -> None:
    data = exact_correspondences(filmed(static_scene(SIZE), 5), stride=4)
    depth = depth_from_motion(data, Camera(SIZE), camera_motion(data, Camera(SIZE)))
    assert depth.shape == (5, *data.grid_shape)
    torch.testing.assert_close(depth, torch.full_like(depth, FAR), atol=0.05, rtol=0)


def test_a_strip_that_moves_against_the_camera_is_nearer(exact_correspondences: Make) -> None:
    scene = two_planes(SIZE, 8)
    data = exact_correspondences(scene, stride=3)
    depth = depth_from_motion(data, Camera(SIZE), camera_motion(data, Camera(SIZE)))
    for frame in range(8):
        strip, background = layer_depths(scene, data, depth, frame)
        assert strip < background - 0.3
    assert depth.min() >= NEAR - 0.2
    assert depth.max() <= FAR + 0.2


def test_an_occluder_is_nearer_than_the_moving_object_it_covers(exact_correspondences: Make) -> None:
    """The pole does not move: by motion alone it would be as far away as the background."""
    scene = occluder_scene((128, 96), 12, speed=5.0)
    data = exact_correspondences(scene, stride=3)
    depth = depth_from_motion(data, Camera(scene.size), camera_motion(data, Camera(scene.size)))
    y = data.grid[:, 1]
    beside_the_disc = (y - 48).abs() < 12  # rows in which the pole covers the disc
    for frame in (4, 7):
        owner = torch.as_tensor(scene.top_layer(frame, data.grid.numpy()))
        flat = depth[frame].flatten()
        pole = flat[(owner == 0) & beside_the_disc].median()
        disc = flat[owner == 1].median()
        background = flat[owner == 2].median()
        assert pole < disc < background


def test_frames_between_the_sources_take_the_nearest_depth(exact_correspondences: Make) -> None:
    data = exact_correspondences(two_planes(SIZE, 6), stride=4, sources=[0, 4])
    depth = depth_from_motion(data, Camera(SIZE), camera_motion(data, Camera(SIZE)))
    assert len(depth) == 6
    for frame, same_as in [(1, 0), (3, 4), (5, 4)]:
        assert torch.equal(depth[frame], depth[same_as])
    assert not torch.equal(depth[0], depth[4])
