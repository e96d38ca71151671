"""What is drawn by region: only what exists, in the promised shares."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from moments import draw

from omnitrack.correspondence.raster import pixel_grid
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.region_sampler import RegionSampler
from omnitrack.optimize.regions import RegionErrors
from omnitrack.settings import FitSettings

CHI_SQUARE_3 = 16.27  # 99.9 % quantile at three degrees of freedom
ROWS, COLUMNS = 6, 8
AT_THE_END = 1.0  # of a run, when all frames are in use


def make(
    confidence: np.ndarray, sources: list[int] | None = None, targets: np.ndarray | None = None
) -> Correspondences:
    """Return entries (S, K, 48) with the given confidence, each with its own displacement; a grid of 6 x 8 pixels."""
    shape = confidence.shape
    if targets is None:
        targets = 10 + np.arange(shape[0] * shape[1]).reshape(shape[:2])
    number = np.arange(confidence.size).reshape(shape)
    return Correspondences.from_numpy(
        sources=np.arange(shape[0]) if sources is None else np.array(sources),
        targets=targets,
        grid=pixel_grid((COLUMNS, ROWS)),
        grid_shape=(ROWS, COLUMNS),
        displacement=np.stack([number, -number], -1).astype(np.int16),
        confidence=confidence.astype(np.uint8),
        occluded=number % 3 == 0,
        colors=np.stack([number[:, 0] % 256, number[:, 0] // 256, 0 * number[:, 0]], -1).astype(np.uint8),
        unit_px=0.5,
        size=(COLUMNS, ROWS),
        num_frames=100,
        device=torch.device("cpu"),
    )


def make_region_sampler(
    data: Correspondences, anchors: int = 1, targets: int = 1, regions: int = 2, hard_share: float = 0.5
) -> RegionSampler:
    return RegionSampler(data, settings(anchors, targets, regions, hard_share))


def settings(anchors: int, targets: int, regions: int = 2, hard_share: float = 0.5) -> FitSettings:
    return FitSettings(anchors=anchors, targets=targets, regions=regions, hard_share=hard_share)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(values: torch.Tensor, count: int) -> np.ndarray:
    return np.bincount(values.flatten().numpy(), minlength=count) / values.numel()


@pytest.fixture
def patchy() -> Correspondences:
    """Three sources; a third of the entries are valid, and the upper left quarter of the frame is empty."""
    confidence = np.random.default_rng(0).integers(1, 256, (3, 4, ROWS * COLUMNS))
    confidence[np.random.default_rng(1).random(confidence.shape) > 0.34] = 0
    confidence.reshape(3, 4, ROWS, COLUMNS)[:, :, :3, :4] = 0
    return make(confidence)


def test_batch_is_what_the_entries_say(patchy: Correspondences) -> None:
    batch = draw(make_region_sampler(patchy, 500, 3), AT_THE_END, generator())
    assert batch.source_pixels.shape == (500, 2)
    assert batch.target_pixels.shape == (500, 3, 2)
    s = batch.source_frames[:, None].expand(500, 3)
    p = (batch.source_pixels[:, 1] * COLUMNS + batch.source_pixels[:, 0]).long()[:, None].expand(500, 3)
    k = (batch.target_frames - 10) % 4
    torch.testing.assert_close(batch.confidence, patchy.confidence[s, k, p] / 255)
    torch.testing.assert_close(batch.occluded, patchy.occluded[s, k, p])
    number = (s * 4 + k) * ROWS * COLUMNS + p
    expected = batch.source_pixels[:, None] + torch.stack([number, -number], -1) * 0.5
    torch.testing.assert_close(batch.target_pixels, expected)
    first = (s * 4 * ROWS * COLUMNS + p)[:, 0]
    torch.testing.assert_close(batch.colors, torch.stack([first % 256, first // 256, 0 * first], -1) / 255)
    assert ((batch.target_frames - 10) // 4 == s).all()
    upper_left = (batch.source_pixels[:, 0] < 4) & (batch.source_pixels[:, 1] < 3)
    assert not upper_left.any(), "a region without correspondences is not drawn"


def test_only_points_without_any_correspondence_come_with_confidence_zero(patchy: Correspondences) -> None:
    batch = draw(make_region_sampler(patchy, 3000, 3), AT_THE_END, generator())
    point = (batch.source_pixels[:, 1] * COLUMNS + batch.source_pixels[:, 0]).long()
    count = (patchy.confidence > 0).sum(1)[batch.source_frames, point]
    assert (count == 0).any()
    assert (count > 0).any()
    assert (batch.confidence[count > 0] > 0).all()
    assert (batch.confidence[count == 0] == 0).all()


def test_cells_name_the_region_of_each_anchor() -> None:
    data = make(np.full((2, 1, ROWS * COLUMNS), 255))
    batch = draw(make_region_sampler(data, 400, 1), AT_THE_END, generator())
    x, y = batch.source_pixels.long().unbind(-1)
    assert (batch.cells == batch.source_frames * 4 + y // 3 * 2 + x // 4).all()


def test_more_regions_than_points_still_draws_every_point() -> None:
    data = make(np.full((1, 1, ROWS * COLUMNS), 255))
    sampler = make_region_sampler(data, 5000, regions=16)
    batch = draw(sampler, AT_THE_END, generator())
    assert sampler.error.shape == (1, ROWS * COLUMNS)
    assert len(batch.source_pixels.unique(dim=0)) == ROWS * COLUMNS


@pytest.mark.parametrize(("hard_share", "expected"), [(0.0, [0.25] * 4), (1.0, [1 / 8, 1 / 8, 1 / 8, 5 / 8])])
def test_shares_follow_the_error(hard_share: float, expected: list[float]) -> None:
    check_shares(hard_share, expected)


def test_half_of_the_shares_follows_the_error() -> None:
    check_shares(0.5, [3 / 16, 3 / 16, 3 / 16, 7 / 16])


def check_shares(hard_share: float, expected: list[float]) -> None:
    """Check the shares of four regions with errors 1, 1, 1 and 5."""
    sampler = make_region_sampler(make(np.full((1, 2, ROWS * COLUMNS), 255)), 20_000, hard_share=hard_share)
    sampler.error[0, 3] = 5
    found = shares(draw(sampler, AT_THE_END, generator()).cells, 4)
    assert 20_000 * ((found - expected) ** 2 / expected).sum() < CHI_SQUARE_3


def test_a_region_is_drawn_by_how_full_it_is() -> None:
    confidence = np.full((1, 1, ROWS, COLUMNS), 255)
    confidence[..., :3, :4] = 0
    confidence[..., 0, 4:] = 0  # upper right: two of three rows are left
    sampler = make_region_sampler(make(confidence.reshape(1, 1, -1)), 20_000, hard_share=0.0)
    found = shares(draw(sampler, AT_THE_END, generator()).cells, 4)
    assert found[0] == 0
    np.testing.assert_allclose(found[1:], np.array([2, 3, 3]) / 8, atol=0.012)  # 3.5 standard deviations


def test_points_of_a_region_and_targets_of_a_point_are_drawn_evenly() -> None:
    confidence = np.full((1, 6, ROWS * COLUMNS), 255)
    confidence[:, [1, 4]] = 0
    batch = draw(make_region_sampler(make(confidence), 10_000, 2, regions=1), AT_THE_END, generator())
    found = shares(batch.target_frames - 10, 6)
    assert found[[1, 4]].tolist() == [0, 0]
    kept = found[[0, 2, 3, 5]]
    assert 20_000 * ((kept - 0.25) ** 2 / 0.25).sum() < CHI_SQUARE_3
    point = (batch.source_pixels[:, 1] * COLUMNS + batch.source_pixels[:, 0]).long()
    np.testing.assert_allclose(shares(point, 48), 1 / 48, atol=0.006)


def test_errors_by_hand() -> None:
    data = make(np.full((1, 1, ROWS * COLUMNS), 255))
    errors = RegionErrors(data, (data.confidence > 0).sum(1), 2)
    errors.update(torch.tensor([0, 2, 0]), torch.tensor([3.0, 0.0, 5.0]))
    torch.testing.assert_close(errors.error, torch.tensor([[0.9 + 0.1 * 4, 1.0, 0.9, 1.0]]))
    errors.update(torch.tensor([0]), torch.tensor([11.3]))
    torch.testing.assert_close(errors.error[0, 0], torch.tensor(0.9 * 1.3 + 0.1 * 11.3))


def test_errors_of_frames_by_hand() -> None:
    """A region with correspondences in one of its two rows counts half."""
    confidence = np.full((2, 1, ROWS, COLUMNS), 255)
    confidence[0, :, :3, :4] = 0
    confidence[1] = 0
    confidence[1, :, 0, :4] = 255  # this frame has only a third of the first region
    data = make(confidence.reshape(2, 1, -1))
    errors = RegionErrors(data, (data.confidence > 0).sum(1), 2)
    errors.error.copy_(torch.tensor([[100.0, 1.0, 2.0, 6.0], [5.0, 7.0, 8.0, 9.0]]))
    torch.testing.assert_close(errors.frame_errors(), torch.tensor([3.0, 5.0]))
    confidence[0, :, :2, 4:] = 0  # the first frame keeps a third of its second region
    data = make(confidence.reshape(2, 1, -1))
    errors = RegionErrors(data, (data.confidence > 0).sum(1), 2)
    errors.error.copy_(torch.tensor([[100.0, 1.0, 2.0, 6.0], [5.0, 7.0, 8.0, 9.0]]))
    torch.testing.assert_close(errors.frame_errors()[0], torch.tensor((1 / 3 + 2 + 6) / (1 / 3 + 1 + 1)))


@pytest.mark.parametrize(("confidence", "after"), [(255, 2.0), (51, 1.12)])  # 0.9 + 0.1 * 11 * confidence / 255
def test_a_batch_teaches_the_sampler_its_errors_as_far_as_they_are_sure(confidence: int, after: float) -> None:
    sampler = make_region_sampler(make(np.full((2, 1, ROWS * COLUMNS), confidence)), 3)
    error, batch = sampler.error, draw(sampler, AT_THE_END, generator())
    sampler.update(batch, torch.full((3,), 11.0))
    assert sampler.error is error, "a checkpoint holds on to it"
    expected = torch.ones(8)
    expected[batch.cells] = after
    torch.testing.assert_close(sampler.error.flatten(), expected)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, {40}), (100 / 22_000, {40, 60}), (300 / 22_000, {20, 40, 60}), (1.0, {0, 20, 40, 60})]
)
def test_active_window_is_by_frame(share: float, expected: set[int]) -> None:
    """Sources may be every n-th frame only; [40, 60) of 100 frames at first, twenty more every hundred steps."""
    data = make(np.full((4, 1, ROWS * COLUMNS), 255), sources=[0, 20, 40, 60])
    batch = draw(make_region_sampler(data, 300), share, generator())
    assert set(batch.source_frames.tolist()) == expected


def test_all_frames_are_used_while_nothing_is_known_of_the_active_ones() -> None:
    data = make(np.full((2, 1, ROWS * COLUMNS), 255), sources=[0, 80])
    assert set(draw(make_region_sampler(data, 300), 0.0, generator()).source_frames.tolist()) == {0, 80}


@pytest.mark.parametrize("hard_share", [0.0, 0.8])
def test_draws_are_those_of_a_plain_loop_over_the_same_random_numbers(
    patchy: Correspondences, hard_share: float
) -> None:
    """Fits must stay reproducible: the order of the random numbers, and what each of them decides."""
    anchors, targets = 60, 3
    sampler = make_region_sampler(patchy, anchors, targets, hard_share=hard_share)
    sampler.error.copy_(torch.rand(3, 4, generator=generator(5)) * 4)
    batch = draw(sampler, AT_THE_END, generator(7))

    randomness = generator(7)
    for_cells = torch.rand(anchors, generator=randomness, dtype=torch.float64).numpy()
    for_rest = torch.rand(anchors, targets + 1, generator=randomness).numpy()
    members = [[y * COLUMNS + x for y in range(r, r + 3) for x in range(c, c + 4)] for r in (0, 3) for c in (0, 4)]
    valid = patchy.confidence.numpy() > 0
    occupancy = np.array([[valid[s][:, points].any(0).mean() for points in members] for s in range(3)]).flatten()
    hard = occupancy * sampler.error.numpy().flatten()
    bounds = np.cumsum((1 - hard_share) * occupancy / occupancy.sum() + hard_share * hard / hard.sum())
    for n in range(anchors):
        cell = int(np.searchsorted(bounds, for_cells[n]))
        source, points = cell // 4, members[cell % 4]
        point = points[int(for_rest[n, 0] * np.float32(12))]
        slots = np.flatnonzero(valid[source, :, point])
        assert int(batch.cells[n]) == cell
        assert int(batch.source_frames[n]) == source
        assert batch.source_pixels[n].tolist() == [point % COLUMNS, point // COLUMNS]
        for m in range(targets):
            slot = slots[int(for_rest[n, 1 + m] * np.float32(len(slots)))] if len(slots) else 0
            assert int(batch.target_frames[n, m]) == int(patchy.targets[source, slot])


def test_the_generator_alone_decides(patchy: Correspondences) -> None:
    def drawn(seed: int) -> Batch:
        return draw(make_region_sampler(patchy, 50, 2), AT_THE_END, generator(seed))

    assert torch.equal(drawn(1).target_pixels, drawn(1).target_pixels)
    assert not torch.equal(drawn(1).target_pixels, drawn(2).target_pixels)


def test_targets_that_are_not_there_do_no_harm() -> None:
    """A source with fewer targets than the others is padded with -1."""
    confidence = np.full((1, 2, ROWS * COLUMNS), 255)
    confidence[:, 1] = 0
    data = make(confidence, targets=np.array([[7, -1]]))
    batch = draw(make_region_sampler(data, 100, 2), AT_THE_END, generator())
    assert batch.target_frames.unique().tolist() == [7]


def test_neighbours_lie_beside_their_anchors_in_the_same_targets(patchy: Correspondences) -> None:
    alone = draw(make_region_sampler(patchy, 200, 3), AT_THE_END, generator())
    batch = draw(RegionSampler(patchy, settings(200, 3), Extras(neighbours=True)), AT_THE_END, generator())
    assert torch.equal(batch.source_pixels[:200], alone.source_pixels)
    assert torch.equal(batch.target_pixels[:200], alone.target_pixels)
    step = batch.source_pixels[200:] - batch.source_pixels[:200]
    at_the_end = batch.source_pixels[:200, 0] == COLUMNS - 1
    assert at_the_end.any()
    assert torch.equal(step[:, 0], torch.where(at_the_end, -1.0, 1.0))
    assert not step[:, 1].any()
    assert torch.equal(batch.source_frames[200:], batch.source_frames[:200])
    assert torch.equal(batch.target_frames[200:], batch.target_frames[:200])
    known = {(int(s), int(t), int(p)): c for s, t, p, c in _entries(patchy)}
    for n in range(200, 400):
        point = int(batch.source_pixels[n, 1]) * COLUMNS + int(batch.source_pixels[n, 0])
        for m in range(3):
            key = (int(batch.source_frames[n]), int(batch.target_frames[n, m]), point)
            assert round(float(batch.confidence[n, m]) * 255) == known[key]


def _entries(data: Correspondences) -> list[tuple[int, int, int, int]]:
    """Return (source frame, target frame, point, confidence) of every entry."""
    sources, slots, points = data.confidence.shape
    return [
        (int(data.sources[s]), int(data.targets[s, k]), p, int(data.confidence[s, k, p]))
        for s in range(sources)
        for k in range(slots)
        for p in range(points)
    ]
