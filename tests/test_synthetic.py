"""The synthetic scenes against brute force: their closed forms must match their frames."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from omnitrack.synthetic import demo_scene, occluder_scene, static_scene, translating_scene, two_planes
from omnitrack.synthetic.maps import Chain, Map, Ripple, Similarity
from omnitrack.synthetic.shapes import Ellipse, Polygon, Union, rectangle
from omnitrack.synthetic.texture import fractal_noise, paint

POINTS = np.random.default_rng(0).uniform(-100, 100, (200, 2))


@pytest.mark.parametrize(
    "plane_map",
    [
        Similarity(3.0, -4.0, 0.7, 1.3, (12.0, 5.0)),
        Ripple(4.0, 30.0, 0.3, axis=0),
        Ripple(6.0, 40.0, 1.0, axis=1),
        Chain((Ripple(5.0, 50.0), Ripple(3.0, 20.0, axis=0), Similarity(1.0, 2.0, -2.0, 0.5))),
    ],
)
def test_maps_invert_exactly(plane_map: Map) -> None:
    np.testing.assert_allclose(plane_map.inverse(plane_map.forward(POINTS)), POINTS, atol=1e-10)
    np.testing.assert_allclose(plane_map.forward(plane_map.inverse(POINTS)), POINTS, atol=1e-10)


def test_maps_by_hand() -> None:
    quarter = Similarity(x=10.0, y=20.0, angle=np.pi / 2, zoom=2.0, pivot=(1.0, 1.0))
    np.testing.assert_allclose(quarter.forward(np.array([2.0, 1.0])), [10.0, 22.0])  # +x turns to +y (down)
    np.testing.assert_allclose(Ripple(3.0, 8.0).forward(np.array([2.0, 1.0])), [2.0, 4.0])  # a quarter period further
    chain = Chain((Ripple(3.0, 8.0), Similarity(angle=np.pi)))
    np.testing.assert_allclose(chain.forward(np.array([2.0, 1.0])), [-2.0, -4.0])


def test_shapes_by_hand() -> None:
    square = rectangle(0, 0, 2, 1)
    points = np.array([[1, 0.5], [2.1, 0.5], [1, 1.1], [-0.1, 0.5], [2, 1]])
    assert square.contains(points).tolist() == [True, False, False, False, True]
    assert square.radius == pytest.approx(np.sqrt(5))
    egg = Ellipse(2, 1, x=3)
    assert egg.contains(np.array([[4.9, 0], [3, 0.9], [4.5, 0.9], [0.9, 0]])).tolist() == [True, True, False, False]
    both = Union((square, egg))
    assert both.contains(np.array([[0.5, 0.5], [4.9, 0], [-1, 0]])).tolist() == [True, True, False]
    assert both.radius == 5
    assert not Polygon(((0, 0), (2, 0), (0, 2))).contains(np.array([1.5, 1.5]))


def test_noise_has_the_spectrum_it_says() -> None:
    noise = fractal_noise((256, 256), np.random.default_rng(0), slope=1.0)
    assert noise.mean() == pytest.approx(0, abs=1e-5)
    assert noise.std() == pytest.approx(1, abs=1e-4)
    power = np.abs(np.fft.fft2(noise)) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    low = power[(radius > 0.02) & (radius < 0.03)].mean()
    high = power[(radius > 0.04) & (radius < 0.06)].mean()  # twice the frequency: a quarter of the power
    assert low / high == pytest.approx(4, rel=0.35)


def test_a_texture_is_its_painter() -> None:
    texture = paint(-10, -5, 20, 15, lambda x, y: np.stack([(x + 10) / 30, (y + 5) / 20, 0 * x], -1))
    points = np.array([[[0.0, 0.0], [7.25, 3.75]]])
    expected = np.array([[[10 / 30, 5 / 20, 0], [17.25 / 30, 8.75 / 20, 0]]]) * 255
    np.testing.assert_allclose(texture.sample(points), expected, atol=0.2)


def test_translating_scene_moves_by_its_velocity() -> None:
    scene = translating_scene((1.5, -0.75))
    flow, visible = scene.flow(1, 3)
    np.testing.assert_allclose(flow, np.broadcast_to([3.0, -1.5], flow.shape), atol=1e-5)
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    np.testing.assert_array_equal(visible, (x + 3 < 95.5) & (y - 1.5 >= -0.5))


def test_static_scene_does_not_change() -> None:
    scene = static_scene()
    frames = scene.frames()
    assert frames.shape == (6, 64, 96, 3)
    assert frames.dtype == np.uint8
    assert (frames == frames[0]).all()
    assert frames[0].std() > 20  # it has texture


def test_occlusion_of_the_disc_by_hand() -> None:
    scene = occluder_scene(turn=0.0)  # disc centre 34 + 4 t, radius 19.2; pole 64 +- 8
    tracks, visible = scene.tracks(np.array([[0, 40.0, 48.0], [3, 56.5, 3.0]]))
    np.testing.assert_allclose(tracks[0], np.stack([40.0 + 4 * np.arange(16), np.full(16, 48.0)], -1), atol=1e-5)
    assert visible[0].tolist() == [not (56 <= 40 + 4 * t <= 72) for t in range(16)]
    np.testing.assert_allclose(tracks[1], np.full((16, 2), [56.5, 3.0]), atol=1e-5)  # on the pole: never occluded
    assert visible[1].all()
    assert {0, 1, 2} == set(np.unique(scene.depth_order(8)))


@pytest.mark.parametrize(
    "scene", [two_planes(), occluder_scene(), demo_scene(num_frames=24)], ids=["planes", "occluder", "demo"]
)
def test_flow_agrees_with_tracks_and_with_the_depth_order(scene) -> None:
    width, height = scene.size
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, width, 300), rng.integers(0, height, 300)
    for source, target in [(0, 5), (5, 0), (3, 3), (1, scene.num_frames - 1)]:
        flow, visible = scene.flow(source, target)
        tracks, seen = scene.tracks(np.stack([np.full(300, source), x, y], -1))
        np.testing.assert_allclose(flow[y, x], tracks[:, target] - np.stack([x, y], -1), atol=1e-4)
        np.testing.assert_array_equal(visible[y, x], seen[:, target])
        # Brute force: away from outlines, a point is visible where its own layer is on top at the nearest pixel.
        there = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) + flow
        nearest = np.rint(there).astype(int).clip(0, [width - 1, height - 1])
        order_there = scene.depth_order(target)
        flat = cv2.erode(order_there.astype(np.uint8), np.ones((3, 3))) == cv2.dilate(
            order_there.astype(np.uint8), np.ones((3, 3))
        )
        same = order_there[nearest[..., 1], nearest[..., 0]] == scene.depth_order(source)
        inside = ((there >= -0.5) & (there < [width - 0.5, height - 0.5])).all(-1)
        sure = flat[nearest[..., 1], nearest[..., 0]]
        np.testing.assert_array_equal(visible[sure], (same & inside)[sure])


@pytest.mark.parametrize("scene", [two_planes(), occluder_scene(), demo_scene()], ids=["planes", "occluder", "demo"])
def test_frames_show_the_same_colour_along_the_flow(scene) -> None:
    for source, target in [(0, 1), (2, 7), (6, 1)]:
        flow, visible = scene.flow(source, target)
        there = flow + np.stack(np.meshgrid(*map(np.arange, scene.size)), -1).astype(np.float32)
        seen = cv2.remap(scene.frame(target), there[..., 0], there[..., 1], cv2.INTER_LINEAR)
        error = np.abs(seen.astype(float) - scene.frame(source)).mean(-1)[visible]
        still = np.abs(scene.frame(target).astype(float) - scene.frame(source)).mean(-1)[visible]
        assert np.median(error) < 4
        assert error.mean() < 0.3 * still.mean()


def test_points_of_the_demo_vanish_and_come_back() -> None:
    scene = demo_scene()
    grid = [(0, x, y) for x, y in itertools.product(range(8, 256, 16), range(8, 192, 16))]
    tracks, visible = scene.tracks(np.array(grid, float))
    returns = (~visible[:, :-1] & visible[:, 1:]).any(1)
    assert returns.sum() >= 8
    assert 0.03 < (~visible).mean() < 0.35
    steps = np.linalg.norm(np.diff(tracks, axis=1), axis=-1)
    assert steps.max() < 9  # within the range of classical flow
    assert np.median(steps) > 0.5


def test_scenes_repeat_by_seed_and_differ_between_seeds() -> None:
    np.testing.assert_array_equal(demo_scene().frame(3), demo_scene().frame(3))
    np.testing.assert_array_equal(occluder_scene(seed=2).frame(3), occluder_scene(seed=2).frame(3))
    assert (occluder_scene(seed=2).frame(3) != occluder_scene(seed=3).frame(3)).mean() > 0.5


def test_the_demo_scales_with_its_width() -> None:
    small, large = demo_scene((128, 96)), demo_scene((256, 192))
    np.testing.assert_array_equal(small.depth_order(4)[10, 20], large.depth_order(4)[20, 40])
    shrunk = cv2.resize(large.frame(4), (128, 96), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - small.frame(4)).mean() < 12
