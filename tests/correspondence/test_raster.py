"""Sampling images between pixels, and pixel grids."""

from __future__ import annotations

import numpy as np
import pytest

from omnitrack.correspondence.raster import (
    CoarseGrid,
    crop_around,
    grid_shape,
    inside,
    pixel_grid,
    read,
    sample,
)

IMAGE = np.array([[0.0, 4.0, 8.0], [10.0, 14.0, 2.0]], np.float32)  # H = 2, W = 3


@pytest.mark.parametrize(
    ("pixel", "value"),
    [
        ((0, 0), 0.0),
        ((2, 1), 2.0),
        ((0.5, 0), 2.0),  # half way from 0 to 4
        ((0, 0.25), 2.5),  # a quarter of the way down from 0 to 10
        ((0.5, 0.5), 7.0),  # the mean of 0, 4, 10, 14
        ((1.75, 0.5), 6.0),  # 7 at x = 1.75 above, 5 below
        ((-3, 0.5), 5.0),  # beyond the border the border's value
        ((9, 9), 2.0),
        ((1, -0.5), 4.0),
    ],
)
def test_sample_by_hand(pixel: tuple[float, float], value: float) -> None:
    assert sample(IMAGE, np.array([pixel], np.float32))[0] == pytest.approx(value, abs=1e-6)


def test_sample_keeps_channels_and_type() -> None:
    image = np.stack([IMAGE, 2 * IMAGE], -1)
    pixels = np.array([[0.5, 0.5], [2, 0]], np.float32)
    np.testing.assert_allclose(sample(image, pixels), [[7, 14], [8, 16]], atol=1e-6)
    assert sample(image.astype(np.uint8), pixels).dtype == np.uint8


@pytest.mark.parametrize("count", [0, 1, 3, 700])
def test_a_crop_gives_the_same_to_the_last_bit(count: int) -> None:
    """Points in a corner, beyond the border, far away, and all over the image."""
    rng = np.random.default_rng(count)
    image = rng.normal(size=(60, 80, 2)).astype(np.float32)
    for centre, spread in (((10, 50), 4), ((-3, 59.7), 6), ((79.4, -0.4), 0.3), ((5000, -70), 1), ((40, 30), 30)):
        pixels = (np.array(centre) + spread * rng.normal(size=(count, 2))).astype(np.float32)
        near, places = crop_around(image, pixels)
        np.testing.assert_array_equal(sample(near, places), sample(image, pixels))
    near, _ = crop_around(image, np.array([[20.5, 7]], np.float32))
    assert near.shape == (2, 2, 2), "no more than the four neighbours"


@pytest.mark.parametrize(("channels", "shape"), [((), (0,)), ((2,), (0, 2))])
def test_sample_of_no_points_is_empty(channels: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert sample(np.zeros((4, 5, *channels), np.float32), np.zeros((0, 2), np.float32)).shape == shape


@pytest.mark.parametrize("count", [1, 511, 512, 513, 40_000])
def test_sample_takes_any_number_of_points(count: int) -> None:
    """Bilinear interpolation is exact on a plane. OpenCV rounds positions to 1/32 pixel, and limits sizes."""
    y, x = np.mgrid[0:60, 0:80].astype(np.float32)
    pixels = np.random.default_rng(0).integers(0, 59 * 32, (count, 2)).astype(np.float32) / 32
    expected = 3 * pixels[:, 0] - 2 * pixels[:, 1] + 1
    np.testing.assert_allclose(sample(3 * x - 2 * y + 1, pixels), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(), (1,), (3,)])
def test_reading_at_maps_of_any_length_is_sampling_their_places(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (30, 40, *shape), np.uint8)
    x, y = rng.uniform(-3, 43, (2, 40_000, 3)).astype(np.float32)
    values = read(image, x, y)
    assert values.shape == (40_000, 3, *shape)
    for column in range(3):
        np.testing.assert_array_equal(values[:, column], sample(image, np.stack([x[:, column], y[:, column]], -1)))


def test_inside_goes_to_the_edge_of_the_outer_pixels() -> None:
    pixels = np.array([[-0.5, -0.5], [4.5, 2.5], [-0.51, 0], [4.51, 0], [0, -0.51], [0, 2.51], [2, 1], [np.nan, 0]])
    assert inside(pixels, (5, 3)).tolist() == [True, True, False, False, False, False, True, False]


def test_pixel_grid_by_hand() -> None:
    np.testing.assert_array_equal(pixel_grid((3, 2)), [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]])
    np.testing.assert_array_equal(pixel_grid((5, 4), 3), [[1, 1], [4, 1]])  # the centres of 3 x 3 blocks


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("size", [(7, 5), (8, 9), (16, 11)])
def test_pixel_grid_has_its_shape_and_stays_on_the_frame(size: tuple[int, int], stride: int) -> None:
    grid = pixel_grid(size, stride)
    rows, columns = grid_shape(size, stride)
    assert grid.shape == (rows * columns, 2)
    assert inside(grid, size).all()
    assert grid.reshape(rows, columns, 2)[-1, -1].tolist() == grid.max(0).tolist()
    assert (np.array(size) - 1 - grid.max(0) < stride).all(), "no room for one more"


@pytest.mark.parametrize(("size", "stride"), [((256, 256), 6), ((854, 480), 15), ((32, 32), 2)])
def test_values_of_places_are_read_between_them(size: tuple[int, int], stride: int) -> None:
    """A linear function of the pixels is reproduced exactly inside the outermost places, and is constant beyond."""
    places = CoarseGrid.of(size)
    assert places.stride == stride
    assert len(places.pixels) == np.prod(places.shape)
    values = (places.pixels @ np.array([0.5, -0.25], np.float32) + 3).reshape(places.shape)
    low, high = places.pixels.min(0), places.pixels.max(0)
    points = np.random.default_rng(0).uniform(low, high, (50, 2)).astype(np.float32)
    expected = points @ np.array([0.5, -0.25]) + 3
    np.testing.assert_allclose(places.read(values, points), expected, atol=0.02 * stride)  # cv2: 1/32 of a cell
    corner = places.read(values, np.array([[-9.0, -9.0]], np.float32))
    assert corner[0] == pytest.approx(values[0, 0])
