"""The filtered correspondences: what is written is read back, to the step in which it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np
import pytest
import torch

from omnitrack.correspondence.raster import grid_shape, pixel_grid
from omnitrack.errors import DamagedError, OmnitrackError
from omnitrack.optimize.thinning import kept_targets, thinning
from omnitrack.project.filtered import STATISTICS, SourceCorrespondences, filtered_file, write_source
from omnitrack.project.fit_data import read_correspondences
from omnitrack.project.project import Project

CPU = torch.device("cpu")
STRIDE = 4
MANY = 10**9


def found(source: int, targets: Sequence[int], size: tuple[int, int], largest: float = 20.0) -> SourceCorrespondences:
    """Return random correspondences, a third of them not trusted; the first point moves exactly by `largest`."""
    rng = np.random.default_rng(source)
    count = len(pixel_grid(size, STRIDE))
    displacement = rng.uniform(-largest, largest, (len(targets), count, 2)).astype(np.float32)
    displacement[0, 0] = largest, -largest
    confidence = rng.random((len(targets), count)).astype(np.float32)
    confidence[rng.random(confidence.shape) < 0.33] = 0
    confidence[0, 0] = 1
    return SourceCorrespondences(
        source=source,
        targets=list(targets),
        grid_stride=STRIDE,
        displacement=displacement,
        confidence=confidence,
        occluded=rng.random(confidence.shape) < 0.2,
        statistics=np.zeros(len(targets), STATISTICS),
    )


def store(project: Project, sources: Sequence[SourceCorrespondences]) -> None:
    parts = filtered_file(project).parts({"any": 1})
    for item in sources:
        parts.write(item.source, lambda file, item=item: write_source(file, item, project.size))
    parts.merge({"any": 1}, [])


def test_round_trip(project: Project) -> None:
    written = [found(0, [1, 2, 5], project.size), found(3, [4, 2], project.size), found(7, [6, 5, 3], project.size)]
    store(project, written)
    data = read_correspondences(project, CPU, MANY)
    assert data.sources.tolist() == [0, 3, 7]
    assert data.targets.tolist() == [[1, 2, 5], [4, 2, -1], [6, 5, 3]]
    assert (data.size, data.num_frames, data.grid_shape) == (project.size, 8, grid_shape(project.size, STRIDE))
    np.testing.assert_array_equal(data.grid.numpy(), pixel_grid(project.size, STRIDE))
    assert data.unit_px == 1 / 32
    for row, item in enumerate(written):
        count = len(item.targets)
        believed = item.confidence > 0
        confidence = data.confidence[row, :count].numpy()
        np.testing.assert_array_equal(confidence > 0, believed)
        np.testing.assert_allclose(confidence / 255, item.confidence, atol=1 / 255)
        np.testing.assert_array_equal(data.occluded[row, :count].numpy(), item.occluded & believed)
        displacement = data.displacement[row, :count].numpy() * data.unit_px
        np.testing.assert_allclose(displacement[believed], item.displacement[believed], atol=1 / 64)
        assert not displacement[~believed].any(), "what is not believed takes no space"
        assert not data.confidence[row, count:].any()


def test_the_least_confidence_is_not_lost(project: Project) -> None:
    item = found(0, [1], project.size)
    item.confidence[0, :3] = 1e-6, 0.5 / 255, 0
    store(project, [item])
    assert read_correspondences(project, CPU, MANY).confidence[0, 0, :3].tolist() == [1, 1, 0]


def test_landing_is_the_grid_and_the_displacement(project: Project) -> None:
    item = found(2, [3, 4], project.size)
    store(project, [item])
    data = read_correspondences(project, CPU, MANY)
    slot, point = torch.tensor([0, 1, 1]), torch.tensor([0, 5, 17])
    expected = pixel_grid(project.size, STRIDE)[point] + item.displacement[slot, point]
    believed = item.confidence[slot, point] > 0
    landed = data.landing(torch.zeros(3, dtype=torch.long), slot, point).numpy()
    np.testing.assert_allclose(landed[believed], expected[believed], atol=1 / 64)


@pytest.mark.parametrize(("largest", "steps_per_px"), [(1023.9, 32), (1024.5, 16), (5000.0, 4)])
def test_steps_are_coarser_where_displacements_leave_int16(
    project: Project, largest: float, steps_per_px: float
) -> None:
    item = found(0, [1], project.size, largest)
    store(project, [item])
    data = read_correspondences(project, CPU, MANY)
    assert data.unit_px == 1 / steps_per_px
    believed = item.confidence > 0
    np.testing.assert_allclose(
        data.displacement.numpy()[0][believed] * data.unit_px, item.displacement[believed], atol=0.501 / steps_per_px
    )


def test_only_what_is_believed_makes_steps_coarser(project: Project) -> None:
    item = found(0, [1], project.size)
    item.displacement[0, 1], item.confidence[0, 1] = 1e6, 0
    store(project, [item])
    assert read_correspondences(project, CPU, MANY).unit_px == 1 / 32


def test_sources_with_steps_of_their_own_are_brought_to_the_coarsest(project: Project) -> None:
    """Rounded, not truncated: correspondences must not be biased towards one side."""
    far, near = found(1, [0], project.size, 3000.0), found(0, [1], project.size)
    store(project, [near, far])
    data = read_correspondences(project, CPU, MANY)
    assert data.unit_px == 1 / 8
    error = data.displacement.numpy()[0] * data.unit_px - near.displacement
    error = error[near.confidence > 0]
    assert np.abs(error).max() <= 0.5 / 8 + 1 / 64 + 1e-6
    assert abs(error.mean()) < 0.01


def everywhere(num_frames: int, size: tuple[int, int]) -> list[SourceCorrespondences]:
    """Return correspondences of every frame with every other frame."""
    return [found(s, [t for t in range(num_frames) if t != s], size) for s in range(num_frames)]


@pytest.mark.parametrize("share", [1.0, 0.9, 0.5, 0.3, 0.1, 0.02, 0.001])
def test_of_a_large_file_every_source_is_read_and_no_more_than_the_most(project: Project, share: float) -> None:
    items = everywhere(8, project.size)
    store(project, items)
    whole = read_correspondences(project, CPU, MANY)
    most = int(whole.confidence.numel() * share)
    data = read_correspondences(project, CPU, most)
    assert data.sources.tolist() == list(range(8))
    assert data.confidence.numel() <= max(most, 8)
    assert data.grid_shape[0] * data.grid_shape[1] == len(data.grid) == data.colors.shape[1]
    points = [whole.grid.tolist().index(point) for point in data.grid.tolist()]
    for s in range(8):
        for k, target in enumerate(data.targets[s].tolist()):
            slot = whole.targets[s].tolist().index(target)
            assert torch.equal(data.displacement[s, k], whole.displacement[s, slot][points])
            assert torch.equal(data.confidence[s, k], whole.confidence[s, slot][points])
            assert torch.equal(data.occluded[s, k], whole.occluded[s, slot][points])
        assert torch.equal(data.colors[s], whole.colors[s][points])


def test_a_file_that_fits_is_read_whole_though_some_sources_have_fewer_targets(project: Project) -> None:
    items = [found(0, [1, 2, 3], project.size), found(1, [0], project.size)]
    store(project, items)
    entries = 4 * len(pixel_grid(project.size, STRIDE))
    assert read_correspondences(project, CPU, entries).confidence.shape[1:] == (3, entries // 4)
    assert read_correspondences(project, CPU, entries - 1).confidence.numel() < entries


@pytest.mark.parametrize(
    ("sources", "targets", "most", "expected"),
    [
        (10, 40, 10 * 40 * 64, (1, 40)),  # it fits
        (10, 40, 10 * 30 * 64, (1, 30)),
        (10, 40, 10 * 16 * 64, (1, 16)),
        (10, 40, 10 * 16 * 64 - 1, (2, 40)),  # fewer than 16 targets: a quarter of the points, and all targets
        (40, 40, 10 * 16 * 64, (2, 16)),
        (41, 40, 10 * 16 * 64, (3, 27)),  # 3 x 3 points
        (10, 5, 10 * 4 * 64, (2, 5)),  # five is all there is
        (10, 40, 3, (8, 1)),  # at least one entry each
    ],
)
def test_fewer_targets_then_fewer_points(sources: int, targets: int, most: int, expected: tuple[int, int]) -> None:
    assert thinning(sources, targets, (8, 8), most) == expected


def test_adjacent_targets_are_kept_and_all_distances_are_somewhere() -> None:
    seen = set()
    for source in range(30, 70):
        targets = np.array([t for t in range(source - 20, source + 21) if t != source] + [source + 300])
        kept = targets[kept_targets(source, targets, 10)]
        assert len(set(kept.tolist())) == 10
        assert {source - 1, source + 1} <= set(kept.tolist())
        distance = np.sort(np.abs(kept - source))
        assert np.diff(distance[2:]).max() < 300
        assert (distance <= 8).sum() >= 4, "some of them are near"
        seen |= set(distance.tolist())
    assert seen >= {*range(1, 21), 300}


def test_few_targets_are_all_kept() -> None:
    assert kept_targets(3, np.array([4, 2, 9]), 3).tolist() == [0, 1, 2]
    assert kept_targets(3, np.array([9, 4, 2]), 1).tolist() in ([1], [2])


def test_statistics_and_count_are_kept(project: Project) -> None:
    item = found(0, [1, 2, 3], project.size)
    item.statistics["valid"] = 5, 6, 7
    store(project, [item])
    with h5py.File(project.product_path("filtered"), "r") as file:
        group = file["000000"]
        np.testing.assert_array_equal(group["count"][()], (item.confidence > 0).sum(0))
        assert group["statistics"]["valid"].tolist() == [5, 6, 7]
        assert group["targets"][()].tolist() == [1, 2, 3]


def test_nothing_filtered_yet(project: Project) -> None:
    with pytest.raises(OmnitrackError, match="has not been filtered yet") as caught:
        read_correspondences(project, CPU, MANY)
    assert caught.value.hint == f"filter it: omnitrack filter {project.root}"


def test_a_group_that_was_not_finished_is_damage(project: Project) -> None:
    store(project, [found(0, [1], project.size)])
    with h5py.File(project.product_path("filtered"), "r+") as file:
        del file["000000"].attrs["complete"]
    with pytest.raises(DamagedError, match="1 of 1 groups are not complete"):
        read_correspondences(project, CPU, MANY)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all"], ids=["empty", "text"])
def test_another_file(project: Project, content: bytes) -> None:
    project.products_dir.mkdir()
    project.product_path("filtered").write_bytes(content)
    with pytest.raises(OmnitrackError) as caught:
        read_correspondences(project, CPU, MANY)
    assert str(project.product_path("filtered")) in caught.value.message
    assert f"omnitrack filter {project.root}" in (caught.value.hint or "")


@pytest.mark.parametrize("damage", ["truncated", "a dataset is gone", "an attribute is gone"])
def test_damaged(project: Project, damage: str) -> None:
    store(project, [found(s, [(s + 1) % 8], project.size) for s in range(3)])
    path = project.product_path("filtered")
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        with h5py.File(path, "r+") as file:
            group = file["000001"]
            if damage == "a dataset is gone":
                del group["confidence"]
            else:
                del group.attrs["steps_per_px"]
    with pytest.raises(OmnitrackError) as caught:
        read_correspondences(project, CPU, MANY)
    assert "cannot be read" in caught.value.message
    assert f"omnitrack filter {project.root}" in (caught.value.hint or "")
