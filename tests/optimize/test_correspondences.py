"""The queries of `Correspondences`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from omnitrack.correspondence.raster import grid_shape, pixel_grid
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.synthetic import two_planes


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((16, 12), 4))


def test_within_a_gap_farther_frames_are_no_targets(data: Correspondences) -> None:
    near = data.within(2)
    gap = (data.targets - data.sources[:, None]).abs()
    assert (gap == 3).any() and (data.confidence[gap == 3] > 0).any()
    assert (near.targets[gap == 3] == -1).all() and (near.confidence[gap == 3] == 0).all()
    torch.testing.assert_close(near.targets[gap <= 2], data.targets[gap <= 2])
    torch.testing.assert_close(near.confidence[gap <= 2], data.confidence[gap <= 2])
    assert data.within(0) is data


@pytest.mark.parametrize(("size", "stride"), [((16, 12), 1), ((17, 13), 3), ((40, 30), 4)])
def test_the_nearest_point_of_a_grid_point_is_itself(data: Correspondences, size: tuple[int, int], stride: int) -> None:
    grid = torch.from_numpy(pixel_grid(size, stride))
    found = Correspondences(**{**vars(data), "grid": grid, "grid_shape": grid_shape(size, stride), "size": size})
    assert found.nearest_point(grid).tolist() == list(range(len(grid)))
    beyond = torch.tensor([[-5.0, -5.0], [size[0] + 5.0, size[1] + 5.0]])
    assert found.nearest_point(beyond).tolist() == [0, len(grid) - 1]
