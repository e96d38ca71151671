"""The descriptor search: it finds what moved, keeps what was right, and is reproducible."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from omnitrack.correspondence.descriptors.comparing import in_steps
from omnitrack.correspondence.descriptors.search import DescriptorSearch
from omnitrack.correspondence.raster import Array

SIZE = (96, 64)
SHIFT = (5, -3)


def descriptors(size: tuple[int, int], cells: int = 24, seed: int = 0) -> Tensor:
    """(H, W, C) smooth unit vectors that differ beyond a distance of a few pixels."""
    torch.manual_seed(seed)
    coarse = torch.randn(1, 16, size[1] // 64 * cells, size[0] // 64 * cells)
    smooth = F.interpolate(coarse, size=size[::-1], mode="bicubic", align_corners=False)
    return F.normalize(smooth[0].permute(1, 2, 0), dim=-1)


def shifted(values: Tensor, shift: tuple[int, int] = SHIFT) -> Tensor:
    """Return the map after everything moved by `shift` (x, y), wrapped around the border."""
    return torch.roll(values, (shift[1], shift[0]), (0, 1))


def flat(values: Tensor) -> Tensor:
    return in_steps(values.flatten(0, 1))


def search(size: tuple[int, int] = SIZE, map_size: tuple[int, int] | None = None, **changes: float) -> DescriptorSearch:
    settings = {"grid_points": 1 << 17, "reach_px": 8.0, "margin": 0.05, **changes}
    return DescriptorSearch(size, map_size or size, **settings)  # type: ignore[arg-type]


def constant(size: tuple[int, int], flow: tuple[float, float]) -> Array:
    return np.broadcast_to(np.array(flow, np.float32), (size[1], size[0], 2)).copy()


def inner(flow: Array) -> Array:
    """Cut off the border, where the shift leads out of the frame."""
    return flow[10:-10, 10:-10]


def test_it_finds_what_moved() -> None:
    source = descriptors(SIZE)
    flow = search(reach_px=24.0).correct(flat(source), flat(shifted(source)), constant(SIZE, (0, 0)))
    error = np.linalg.norm(inner(flow) - SHIFT, axis=-1)
    assert flow.dtype == np.float32 and flow.shape == (64, 96, 2)
    assert np.median(error) < 0.4 and (error < 1).mean() > 0.95


def test_it_finds_what_moved_at_the_border_too() -> None:
    source = descriptors(SIZE)
    flow = search(reach_px=24.0).correct(flat(source), flat(shifted(source)), constant(SIZE, (0, 0)))
    for border in (flow[10:-10, 0], flow[10:-10, 1], flow[-1, 10:-10]):  # points there stay in the frame
        error = np.linalg.norm(border - SHIFT, axis=-1)
        assert np.median(error) < 0.7 and (error < 1).mean() > 0.9


def test_only_what_moved_otherwise_is_changed() -> None:
    source, flow = descriptors(SIZE), constant(SIZE, SHIFT)
    target = shifted(source)
    flow[20:40, 30:60] = 0  # wrong in one area
    found = search(reach_px=24.0).correct(flat(source), flat(target), flow)
    changed = (found != flow).any(-1)
    assert changed[20:40, 30:60].mean() > 0.9
    changed[20:40, 30:60] = False
    assert not inner(changed).any()
    assert np.linalg.norm(found[20:40, 30:60] - SHIFT, axis=-1).mean() < 1


def test_flow_that_is_right_stays_to_the_bit() -> None:
    source, flow = descriptors(SIZE), constant(SIZE, (SHIFT[0] + 0.123, SHIFT[1] - 0.2))
    found = search().correct(flat(source), flat(shifted(source)), flow)
    assert np.array_equal(inner(found), inner(flow))


def test_where_everything_looks_the_same_nothing_changes() -> None:
    same = flat(torch.ones(64, 96, 16) / 4)
    flow = np.random.default_rng(0).normal(0, 3, (64, 96, 2)).astype(np.float32)
    assert np.array_equal(search().correct(same, same, flow), flow)


@pytest.mark.parametrize("points", [1 << 17, 64 * 96 // 4, 64 * 96 // 9])
def test_a_coarser_grid_is_no_bias(points: int) -> None:
    """A grid point lies at the cell of its descriptor: between two cells of the map it would be half a cell off."""
    source = descriptors(SIZE)
    flow = search(grid_points=points, reach_px=24.0).correct(
        flat(source), flat(shifted(source)), constant(SIZE, (0, 0))
    )
    error = inner(flow) - SHIFT
    right = np.linalg.norm(error, axis=-1) < 2
    assert right.mean() > 0.9
    np.testing.assert_allclose(error[right].mean(0), 0, atol=0.1)


def test_of_places_that_look_the_same_the_one_by_the_flow_wins() -> None:
    period = 16
    source = descriptors((64, 64), cells=24)[:, :period].repeat(1, 6, 1)  # repeats along x
    target = shifted(source, (3, 0))
    for near in (3, 3 + period):
        found = search(reach_px=24.0).correct(flat(source), flat(target), constant(SIZE, (near - 4, 0)))
        error = np.linalg.norm(found[12:-12, 30:-30] - (near, 0), axis=-1)
        assert np.median(error) < 1 and (error < 2).mean() > 0.9, near


def test_of_things_that_resemble_each_other_none_is_believed() -> None:
    source = descriptors(SIZE)
    target, start = shifted(source), constant(SIZE, (0, 0))
    found = search(reach_px=24.0).correct(flat(source), flat(target), start)
    assert np.linalg.norm(found[30, 40] - SHIFT) < 1
    source[30, 46] = source[30, 40]  # its duplicate
    found = search(reach_px=24.0).correct(flat(source), flat(target), start)
    assert not found[30, 40].any() and np.linalg.norm(found[33, 40] - SHIFT) < 1


def test_the_margin_decides() -> None:
    source = descriptors(SIZE)
    start = constant(SIZE, (0, 0))
    changed = [
        (search(margin=margin).correct(flat(source), flat(shifted(source)), start) != start).any(-1).mean()
        for margin in (0.05, 0.8, 2.0)
    ]
    assert changed[0] > changed[1] > changed[2] == 0


def test_it_repeats_itself_and_does_not_remember() -> None:
    source, other = descriptors(SIZE), descriptors(SIZE, seed=1)
    target, start = shifted(source), constant(SIZE, (0, 0))
    searcher = search()
    first = searcher.correct(flat(source), flat(target), start)
    searcher.correct(flat(other), flat(target), start)
    assert np.array_equal(searcher.correct(flat(source), flat(target), start), first)
    assert np.array_equal(search().correct(flat(source), flat(target), start), first)


@pytest.mark.parametrize("points", [1 << 17, 64 * 96 // 4, 500])
def test_maps_and_grids_of_other_sizes_mean_the_same_pixels(points: int) -> None:
    large = (192, 128)
    source = descriptors(large)
    target = shifted(source, (10, -6))
    small = [F.avg_pool2d(x.permute(2, 0, 1)[None], 2)[0].permute(1, 2, 0) for x in (source, target)]
    maps = [flat(F.normalize(x, dim=-1)) for x in small]
    found = search(large, SIZE, grid_points=points, reach_px=24.0).correct(*maps, constant(large, (0, 0)))
    error = np.linalg.norm(found[24:-24, 24:-24] - (10, -6), axis=-1)
    assert found.shape == (128, 192, 2) and np.median(error) < 1.5
