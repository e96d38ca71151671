"""OmniMotion's rays and queries: worlds with exactly known tracks, and a plain loop over the samples of a ray.

The worlds are sheets across the rays, so that what a frame shows can be counted in pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from omnitrack.motion import omnimotion
from omnitrack.motion.canonical import CanonicalVolume
from omnitrack.motion.conditioner import PlaneConditioner
from omnitrack.motion.coupling import SCALAR_MAPS, Coupling
from omnitrack.motion.encoding import TimeFeatures
from omnitrack.motion.field import ColoredField, FieldTracks
from omnitrack.motion.frame_map import FrameAffine, FrameMap, FrameNetwork
from omnitrack.motion.geometry import Camera
from omnitrack.motion.omnimotion import OmniMotionField, Rays, RayShape
from omnitrack.motion.warp import CanonicalWarp

WIDTH, HEIGHT = 20, 12
CAMERA = Camera((WIDTH, HEIGHT))  # ten pixels are one local unit, the centre is (9.5, 5.5)
FRAMES = 6
SHAPE = RayShape(near=0.0, far=2.0, samples=21)  # a sample every 0.1
NEAR, FAR = 0.5, 1.5
NEAR_PX, FAR_PX = 2, -1  # x by which a sheet moves per frame
DISC, RADIUS_SQUARED = (5, 5), 5.5  # pixels of frame 0
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.25, 1.0)


class Sheet(NamedTuple):
    """One depth of a world: opaque or not, everywhere or only on the disc."""

    depth: float
    opacity: float
    color: tuple[float, float, float]
    disc_only: bool = False


class Sheets(torch.nn.Module):
    """A canonical volume of sheets."""

    def __init__(self, *sheets: Sheet) -> None:
        super().__init__()
        self.sheets = sheets

    def forward(self, canonical: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        density, colors = torch.zeros(len(canonical)), torch.zeros_like(canonical)
        x, y, z = canonical.unbind(-1)
        disc = (10 * x + 9.5 - DISC[0]) ** 2 + (10 * y + 5.5 - DISC[1]) ** 2 < RADIUS_SQUARED
        for sheet in self.sheets:
            there = ((z - sheet.depth).abs() < 0.02) & (disc | torch.tensor(not sheet.disc_only))
            density[there] = -math.log(1 - sheet.opacity) if sheet.opacity < 1 else math.inf
            colors[there] = torch.tensor(sheet.color)
        return density, colors


class Ripples(torch.nn.Module):
    """A smooth cloud through which some rays see far and others do not."""

    def forward(self, canonical: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x, y, z = canonical.unbind(-1)
        return 0.7 * (1 + torch.sin(4 * x + 3 * y + 5 * z)), torch.sigmoid(canonical)


class Drift(FrameMap):
    """Points nearer than depth 1 move right by two pixels per frame, farther ones left by one."""

    def matrices(self, frames: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
        maps = torch.eye(2, 3).repeat(len(frames), 1, 1)
        maps[:, 0, 2] = -torch.where(depth < 1, NEAR_PX, FAR_PX) / 10 * frames
        return maps


def still_warp(frame_map: FrameMap, num_frames: int = FRAMES) -> CanonicalWarp:
    """Return a warp whose coupling is the identity: only the frame map acts."""
    time = TimeFeatures(num_frames, 1)
    conditioner = PlaneConditioner((2,), 4, time.width, (3,))
    return CanonicalWarp(frame_map, time, [Coupling(2, conditioner, SCALAR_MAPS["affine"])])


def world(*sheets: Sheet, shape: RayShape = SHAPE) -> OmniMotionField:
    return OmniMotionField(CAMERA, still_warp(Drift(FRAMES)), Sheets(*sheets), FRAMES, shape)


@pytest.fixture
def disc_before_wall() -> OmniMotionField:
    return world(Sheet(NEAR, 1.0, RED, disc_only=True), Sheet(FAR, 1.0, BLUE))


@pytest.fixture(params=["strongest sample", "mean"])
def cloud(request: pytest.FixtureRequest, shaken) -> OmniMotionField:
    """A general field: curved couplings, depth-dependent frame maps, no surface."""
    torch.manual_seed(0)
    time = TimeFeatures(3, 2)
    couplings = [
        Coupling(c, PlaneConditioner((3,), 4, time.width, (6, 5)), SCALAR_MAPS[kind])
        for c, kind in ((0, "spline"), (1, "affine"), (2, "affine"))
    ]
    warp = CanonicalWarp(FrameNetwork(3, hidden=6), time, couplings)
    shape = RayShape(0.0, 2.0, 7, request.param == "strongest sample", occlusion_threshold=0.3)
    return OmniMotionField(CAMERA, shaken(warp, 0.3).float(), Ripples(), 3, shape)


def grid() -> np.ndarray:
    """Return all pixels (N, 2) of a frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y], -1).reshape(-1, 2)


def on_disc(pixels: np.ndarray, frame: np.ndarray | int) -> np.ndarray:
    """Return whether the disc covers pixels in a frame."""
    x, y = pixels[..., 0] - NEAR_PX * frame - DISC[0], pixels[..., 1] - DISC[1]
    return x**2 + y**2 < RADIUS_SQUARED


def some_pixels(count: int) -> np.ndarray:
    return np.random.default_rng(3).random((count, 2)) * (WIDTH - 1, HEIGHT - 1)


def assert_same(left: FieldTracks, right: FieldTracks) -> None:
    np.testing.assert_allclose(left.pixels, right.pixels, rtol=0, atol=1e-4)
    np.testing.assert_allclose(left.depth, right.depth, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(left.visible, right.visible)


# Worlds with known tracks


@pytest.mark.parametrize("source", [0, 3])
def test_tracks_follow_the_layer_that_is_seen(disc_before_wall: OmniMotionField, source: int) -> None:
    pixels, targets = grid(), [5, 0, 3, 1, 2, 4]
    tracks = disc_before_wall.track(source, pixels, targets)
    near = on_disc(pixels, source)
    assert 10 < near.sum() < 30
    steps = np.array(targets) - source
    shift_x = np.where(near[:, None], NEAR_PX * steps, FAR_PX * steps)
    expected = pixels[:, None] + np.stack([shift_x, 0 * shift_x], -1)
    np.testing.assert_allclose(tracks.pixels, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(tracks.depth, np.broadcast_to(np.where(near, NEAR, FAR)[:, None], (240, 6)), atol=1e-6)
    on_frame = (expected[..., 0] >= 0) & (expected[..., 0] < WIDTH)
    hidden = ~near[:, None] & on_disc(expected, np.array(targets))
    assert (on_frame & hidden).any()
    np.testing.assert_array_equal(tracks.visible, on_frame & ~hidden)


def test_a_far_point_is_hidden_while_the_disc_passes_and_a_near_one_never(disc_before_wall: OmniMotionField) -> None:
    tracks = disc_before_wall.track(0, np.array([[12, 5], [5, 5], [2, 9]]), range(FRAMES))
    wall, disc, leaving = tracks.visible.tolist()
    assert wall == [
        True,
        True,
        False,
        False,
        True,
        True,
    ]  # the disc is at 5, 7, 9, 11, 13; the point at 12, 11, 10, 9, 8
    assert disc == [True] * 6
    assert leaving == [True, True, True, False, False, False]  # x = 2, 1, 0, -1, ...


@pytest.mark.parametrize("frame", [0, 4])
def test_maps_show_the_disc_before_the_wall(disc_before_wall: OmniMotionField, frame: int) -> None:
    near = on_disc(grid(), frame).reshape(HEIGHT, WIDTH)
    depth = disc_before_wall.depth_map(frame)
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, np.where(near, NEAR, FAR), atol=1e-6)
    np.testing.assert_allclose(disc_before_wall.color_map(frame), np.where(near[..., None], RED, BLUE), atol=1e-6)
    local = ((grid() - (9.5, 5.5)) / 10).reshape(HEIGHT, WIDTH, 2)
    canonical_x = local[..., 0] - np.where(near, NEAR_PX, FAR_PX) / 10 * frame
    expected = np.stack([canonical_x, local[..., 1], np.where(near, NEAR, FAR)], -1)
    np.testing.assert_allclose(disc_before_wall.canonical_map(frame), expected, atol=1e-5)


def test_depth_of_a_sheet_between_samples_is_within_a_spacing() -> None:
    shape = RayShape(0.0, 2.0, 32)
    field = world(Sheet(0.65, 1.0, RED), Sheet(FAR, 1.0, BLUE), shape=shape)  # one of 32 samples is within 0.02 of it
    assert np.abs(field.depth_map(2) - 0.65).max() < 2 / 31


@pytest.fixture
def glass_before_wall() -> tuple[Sheet, Sheet]:
    """Four tenths of the light stop at a disc; the wall's sample is the strongest everywhere."""
    return Sheet(NEAR, 0.4, RED, disc_only=True), Sheet(FAR, 1.0, BLUE)


def test_maps_are_means_along_the_ray(glass_before_wall: tuple[Sheet, Sheet]) -> None:
    field = world(*glass_before_wall)
    x, y = DISC
    assert field.depth_map(0)[y, x] == pytest.approx(0.4 * NEAR + 0.6 * FAR)
    np.testing.assert_allclose(field.color_map(0)[y, x], (0.4, 0.6 * 0.25, 0.6), atol=1e-6)
    # in frame 2, near and far are 0.4 right and 0.2 left of their canonical positions
    x += 2 * NEAR_PX
    expected = ((x - 9.5) / 10 - 0.4 * 0.4 + 0.6 * 0.2, (y - 5.5) / 10, 0.4 * NEAR + 0.6 * FAR)
    np.testing.assert_allclose(field.canonical_map(2)[y, x], expected, atol=1e-6)


@pytest.mark.parametrize(("threshold", "seen"), [(0.5, True), (0.3, False)])
def test_glass_hides_what_is_behind_it_from_its_threshold_on(
    glass_before_wall: tuple[Sheet, Sheet], threshold: float, seen: bool
) -> None:
    field = world(*glass_before_wall, shape=RayShape(0.0, 2.0, 21, occlusion_threshold=threshold))
    tracks = field.track(0, np.array([[12, 5], [5, 5]]), range(FRAMES))
    np.testing.assert_allclose(tracks.pixels[..., 0], [[12, 11, 10, 9, 8, 7], [5, 4, 3, 2, 1, 0]], atol=1e-4)
    assert tracks.visible.tolist() == [[True, True, seen, seen, True, True], [seen, True, True, True, True, True]]


def test_the_mean_of_all_samples_moves_as_their_weights_say(glass_before_wall: tuple[Sheet, Sheet]) -> None:
    field = world(*glass_before_wall, shape=RayShape(0.0, 2.0, 21, strongest_sample=False))
    tracks = field.track(0, np.array([[5, 5], [12, 5]]), range(FRAMES))
    through_glass = [5 + t * (0.4 * NEAR_PX + 0.6 * FAR_PX) for t in range(FRAMES)]
    np.testing.assert_allclose(tracks.pixels[0, :, 0], through_glass, atol=1e-4)
    np.testing.assert_allclose(tracks.depth[0], 0.4 * NEAR + 0.6 * FAR, atol=1e-5)
    np.testing.assert_allclose(tracks.pixels[1, :, 0], [12, 11, 10, 9, 8, 7], atol=1e-4)


def test_the_mean_does_not_shrink_where_light_passes_the_ray() -> None:
    field = world(Sheet(FAR, 0.25, BLUE), shape=RayShape(0.0, 2.0, 21, strongest_sample=False))
    assert field.depth_map(0) == pytest.approx(FAR)
    np.testing.assert_allclose(field.track(0, np.array([[18, 1]]), [2]).pixels, [[[16, 1]]], atol=1e-4)


@pytest.mark.parametrize(("front", "seen"), [(1.4, True), (1.3, False)])
def test_a_point_is_on_the_surface_within_the_tolerance(front: float, seen: bool) -> None:
    shape = RayShape(0.0, 2.0, 21, occlusion_threshold=0.3)
    assert shape.tolerance == pytest.approx(1.1 * 2 / 20)  # slightly more than the spacing of samples
    field = world(Sheet(front, 0.4, RED), Sheet(1.5, 1.0, BLUE), shape=shape)
    tracks = field.track(1, np.array([[10, 6]]), [1, 2])
    np.testing.assert_allclose(tracks.depth, [[1.5, 1.5]], atol=1e-6)
    assert tracks.visible.tolist() == [[seen, seen]]


def test_a_moving_camera_moves_the_whole_world() -> None:
    turns = [(0.0, 1.0, 0.0, 0.0), (0.1, 1.1, 0.05, -0.02), (-0.2, 0.9, -0.1, 0.1)]
    maps = np.array(
        [
            [[s * math.cos(a), -s * math.sin(a), x], [s * math.sin(a), s * math.cos(a), y], [0, 0, 1]]
            for a, s, x, y in turns
        ]
    )
    camera = FrameAffine(torch.tensor(maps[:, :2], dtype=torch.float32))
    field = OmniMotionField(CAMERA, still_warp(camera, 3), Sheets(Sheet(FAR, 1.0, BLUE)), 3, SHAPE)
    pixels = some_pixels(30)
    tracks = field.track(1, pixels, [0, 1, 2])
    local = np.concatenate([(pixels - (9.5, 5.5)) / 10, np.ones((30, 1))], 1)
    for target in range(3):
        there = local @ maps[1].T @ np.linalg.inv(maps[target]).T
        landed = there[:, :2] * 10 + (9.5, 5.5)
        np.testing.assert_allclose(tracks.pixels[:, target], landed, rtol=0, atol=1e-4)
        on_frame = ((landed >= -0.5) & (landed <= (WIDTH - 0.5, HEIGHT - 0.5))).all(-1)
        np.testing.assert_array_equal(tracks.visible[:, target], on_frame)
    assert not tracks.visible.all()
    np.testing.assert_allclose(tracks.pixels[:, 1], pixels, rtol=0, atol=1e-4)


# General fields, against a plain loop


def ray(field: OmniMotionField, pixel: torch.Tensor, frame: int) -> tuple[list[float], torch.Tensor, list[float]]:
    """Return depths, canonical points and weights of one ray, sample by sample."""
    shape = field.shape
    depths = [shape.near + (shape.far - shape.near) * k / (shape.samples - 1) for k in range(shape.samples)]
    points = torch.stack([CAMERA.lift(pixel, torch.tensor(depth)) for depth in depths])
    canonical = field.warp(points, torch.full((shape.samples,), frame), field.warp.time_columns())
    light, weights = 1.0, []
    for density in field.volume(canonical)[0].tolist():
        weights.append(light * (1 - math.exp(-density)))
        light *= math.exp(-density)
    return depths, canonical, weights


@torch.no_grad()
def carried(field: OmniMotionField, source: int, pixel: np.ndarray, target: int) -> tuple[np.ndarray, float, bool]:
    """Track one point literally: every sample goes to the target, and only then one is picked or all are averaged."""
    shape = field.shape
    _, canonical, weights = ray(field, torch.tensor(pixel, dtype=torch.float32), source)
    points = field.warp.inverse(canonical, torch.full((shape.samples,), target), field.warp.time_columns())
    if shape.strongest_sample:
        point = points[weights.index(max(weights))]
    else:
        point = torch.stack([w * p for w, p in zip(weights, points, strict=True)]).sum(0) / sum(weights)
    landed = CAMERA.project(point)
    depths, _, weights = ray(field, landed, target)
    in_front = sum(w for w, d in zip(weights, depths, strict=True) if d < point[2].item() - shape.tolerance)
    x, y = landed.tolist()
    on_frame = -0.5 <= x <= WIDTH - 0.5 and -0.5 <= y <= HEIGHT - 0.5
    return landed.numpy(), point[2].item(), on_frame and in_front <= shape.occlusion_threshold


def test_tracks_are_those_of_the_loop_that_carries_all_samples(cloud: OmniMotionField) -> None:
    pixels = some_pixels(16)
    tracks = cloud.track(1, pixels, [0, 1, 2])
    assert np.abs(tracks.pixels - pixels[:, None]).max() > 1
    assert 0.1 < tracks.visible.mean() < 0.9
    for n, pixel in enumerate(pixels):
        for target in range(3):
            landed, depth, seen = carried(cloud, 1, pixel, target)
            np.testing.assert_allclose(tracks.pixels[n, target], landed, rtol=0, atol=1e-3)
            assert tracks.depth[n, target] == pytest.approx(depth, abs=1e-4)
            assert tracks.visible[n, target] == seen


@torch.no_grad()
def test_maps_are_those_of_the_loop(cloud: OmniMotionField) -> None:
    depth, canonical, color = cloud.depth_map(2), cloud.canonical_map(2), cloud.color_map(2)
    places, opacity = cloud.opaque_canonical_map(2)
    np.testing.assert_allclose(places, canonical, atol=1e-5)
    assert opacity.shape == (12, 20) and opacity.min() < 0.95
    assert (depth.shape, canonical.shape, color.shape) == ((12, 20), (12, 20, 3), (12, 20, 3))
    for x, y in ((0, 0), (19, 11), (7, 4)):
        depths, points, weights = ray(cloud, torch.tensor([x, y], dtype=torch.float32), 2)
        share = np.array(weights) / sum(weights)
        assert opacity[y, x] == pytest.approx(sum(weights), abs=1e-5)
        assert depth[y, x] == pytest.approx(share @ depths, abs=1e-5)
        np.testing.assert_allclose(canonical[y, x], share @ points.numpy(), rtol=0, atol=1e-4)
        np.testing.assert_allclose(color[y, x], share @ torch.sigmoid(points).numpy(), rtol=0, atol=1e-5)


def test_targets_share_the_canonical_pass_without_touching_each_other(cloud: OmniMotionField) -> None:
    pixels = some_pixels(20)
    together = cloud.track(0, pixels, [2, 0, 1])
    for place, target in enumerate([2, 0, 1]):
        alone = cloud.track(0, pixels, [target])
        assert_same(alone, FieldTracks(*(getattr(together, part)[:, [place]] for part in FieldTracks.__annotations__)))


def test_the_source_is_cast_once_and_one_sample_of_a_ray_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    field = world(Sheet(FAR, 1.0, BLUE))
    sizes: dict[str, list[int]] = {"forward": [], "inverse": []}
    for way, seen in sizes.items():
        original = getattr(field.warp, way)

        def counted(points: torch.Tensor, *rest: object, way=original, seen=seen) -> torch.Tensor:
            seen.append(len(points))
            return way(points, *rest)

        monkeypatch.setattr(field.warp, way, counted)
    field.track(0, some_pixels(7), [0, 1, 2, 3])
    assert sum(sizes["inverse"]) == 7 * 4
    assert sum(sizes["forward"]) <= 7 * 21 * (1 + 4)  # the source's rays, and the targets' rays for occlusion


def test_results_do_not_depend_on_the_chunk(cloud: OmniMotionField, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = some_pixels(11)
    whole, depth = cloud.track(1, pixels, [0, 2]), cloud.depth_map(0)
    for samples in (3 * cloud.shape.samples, 1):  # three rays per pass, and memory for less than one ray
        monkeypatch.setattr(omnimotion, "CHUNK_SAMPLES", samples)
        assert_same(cloud.track(1, pixels, [0, 2]), whole)
        np.testing.assert_allclose(cloud.depth_map(0), depth, rtol=0, atol=1e-5)


def test_results_do_not_depend_on_the_batch(cloud: OmniMotionField) -> None:
    pixels = some_pixels(11)
    whole = cloud.track(2, pixels, [0, 1])
    for n in range(11):
        alone = cloud.track(2, pixels[n : n + 1], [0, 1])
        assert_same(alone, FieldTracks(whole.pixels[[n]], whole.depth[[n]], whole.visible[[n]]))


@torch.no_grad()
def test_rays_that_share_their_depths_are_cast_as_those_with_depths_of_their_own(cloud: OmniMotionField) -> None:
    pixels = torch.tensor(some_pixels(9), dtype=torch.float32)
    frames, depths = torch.arange(9) % 3, torch.linspace(0.1, 1.9, 5)
    columns = cloud.warp.time_columns()
    shared, own = (cloud.cast(pixels, frames, d, columns) for d in (depths, depths.repeat(9, 1)))
    for part in Rays.__annotations__:
        torch.testing.assert_close(getattr(shared, part), getattr(own, part), rtol=0, atol=1e-5)


def test_rays_have_gradients_in_every_part(shaken) -> None:
    torch.manual_seed(0)
    field = OmniMotionField(CAMERA, still_warp(FrameNetwork(FRAMES)), CanonicalVolume(6, 2), FRAMES, SHAPE)
    field = shaken(field, 0.1)
    pixels = torch.tensor(some_pixels(5))
    depths = torch.linspace(0, 2, 8, dtype=torch.float64).expand(5, -1)
    rays = field.cast(pixels, torch.arange(5), depths, field.warp.time_columns())
    ((rays.weights * rays.depths).sum() + rays.colors.sum()).backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_strongest_samples_of_a_ray_stay_front_to_back() -> None:
    weights = torch.tensor([[0.1, 0.3, 0.05, 0.4], [0.5, 0.0, 0.2, 0.1]])
    depths = torch.arange(8.0).view(2, 4)
    values = depths[..., None] * torch.tensor([1.0, 10.0, 100.0])
    kept = Rays(depths, values, weights, -values).strongest(2)
    assert kept.depths.tolist() == [[1, 3], [4, 6]]
    torch.testing.assert_close(kept.weights, torch.tensor([[0.3, 0.4], [0.5, 0.2]]))
    assert kept.canonical[:, :, 1].tolist() == [[10, 30], [40, 60]]
    assert kept.colors[:, :, 2].tolist() == [[-100, -300], [-400, -600]]
    assert Rays(depths, values, weights, values).strongest(4).weights is weights


def test_first_depths_are_those_of_the_texel_and_not_saved() -> None:
    depth = torch.arange(12.0).view(2, 2, 3)
    field = OmniMotionField(Camera((6, 4)), still_warp(Drift(FRAMES)), Sheets(), 2, SHAPE, depth)
    found = field.first_depths(torch.tensor([[0.0, 0.0], [5.0, 3.0], [2.4, 0.0]]), torch.tensor([0, 1, 1]))
    assert found.tolist() == [0, 11, 7]
    assert "first_depth" not in field.state_dict()


def test_the_field_is_one_that_knows_colours(disc_before_wall: OmniMotionField) -> None:
    assert isinstance(disc_before_wall, ColoredField)
    assert disc_before_wall.num_frames == FRAMES
