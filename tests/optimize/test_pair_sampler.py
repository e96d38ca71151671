"""What is drawn by pair: only trusted correspondences, in the published shares."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from moments import draw

from omnitrack.correspondence.raster import pixel_grid
from omnitrack.optimize.batch import Batch, Extras
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.pair_sampler import HARD_FROM, PairSampler
from omnitrack.settings import FitSettings

CHI_SQUARE = {1: 10.83, 2: 13.82, 3: 16.27, 4: 18.47, 5: 20.52, 6: 22.46}  # 99.9 % quantiles by degrees of freedom
ROWS, COLUMNS = 6, 8
POINTS = ROWS * COLUMNS
EARLY, LATE = 0.0, 0.5  # shares of a run before and after errors matter


def make(believed: np.ndarray, sources: list[int], targets: np.ndarray, num_frames: int) -> Correspondences:
    """Return entries (S, K, 48), each with its own displacement and, where it is trusted, its own confidence."""
    shape = believed.shape
    number = np.arange(believed.size).reshape(shape)
    return Correspondences.from_numpy(
        sources=np.array(sources),
        targets=np.array(targets),
        grid=pixel_grid((COLUMNS, ROWS)),
        grid_shape=(ROWS, COLUMNS),
        displacement=np.stack([number, -number], -1).astype(np.int16),
        confidence=(believed * (1 + number % 255)).astype(np.uint8),
        occluded=believed & (number % 3 == 0),
        colors=np.stack([number[:, 0] % 256, number[:, 0] // 256, 0 * number[:, 0]], -1).astype(np.uint8),
        unit_px=0.5,
        size=(COLUMNS, ROWS),
        num_frames=num_frames,
        device=torch.device("cpu"),
    )


def from_counts(source: int, counts: dict[int, int], num_frames: int) -> Correspondences:
    """Return one source, of which the first `counts` points are trusted in each target."""
    believed = np.arange(POINTS)[None, None] < np.array([*counts.values()])[None, :, None]
    return make(believed, [source], np.array([[*counts]]), num_frames)


def make_pair_sampler(
    data: Correspondences, pairs: int = 1, points: int = 1, hard_share: float = 0.5, neighbours: bool = False
) -> PairSampler:
    settings = FitSettings(sampler="pairs", pairs=pairs, anchors=pairs * points, hard_share=hard_share, regions=2)
    return PairSampler(data, settings, Extras(neighbours))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points_of(batch: Batch) -> torch.Tensor:
    return (batch.source_pixels[:, 1] * COLUMNS + batch.source_pixels[:, 0]).long()


def check_shares(found: torch.Tensor, expected: dict[int, float]) -> None:
    """Check that only the expected values occur, each with its share of the total, by a chi-square test."""
    values, counts = found.flatten().unique(return_counts=True)
    assert values.tolist() == sorted(expected)
    share = np.array([expected[int(value)] for value in values])
    wanted = found.numel() * share / share.sum()
    assert ((counts.numpy() - wanted) ** 2 / wanted).sum() < CHI_SQUARE[len(expected) - 1]


@pytest.fixture
def patchy() -> Correspondences:
    """Sources 0, 7, 14, 21 of 30 frames; a third of the points; the third source and some targets have no points."""
    randomness = np.random.default_rng(0)
    believed = randomness.random((4, 6, POINTS)) < 0.34
    believed[2] = believed[0, 1] = believed[1, 2] = False
    believed[3, 4:] = False
    targets = np.array([[1, 3, 5, 20, 21, 29], [6, 8, 2, 20, 28, 29], [13, 15, 0, 1, 2, 3], [20, 22, 1, 29, -1, -1]])
    return make(believed, [0, 7, 14, 21], targets, 30)


def test_batch_is_what_the_entries_say(patchy: Correspondences) -> None:
    sampler = make_pair_sampler(patchy, 8, 32)
    batch = draw(sampler, EARLY, generator())
    assert batch.target_pixels.shape == (256, 1, 2)
    s = torch.searchsorted(patchy.sources, batch.source_frames)
    k = (patchy.targets[s] == batch.target_frames).long().argmax(1)
    p = points_of(batch)
    assert torch.equal(batch.target_frames[:, 0], patchy.targets[s, k])
    number = (s * 6 + k) * POINTS + p
    gap = (batch.target_frames[:, 0] - batch.source_frames).abs()
    weight = torch.cos((gap - 1) / 20 * math.pi / 2)
    torch.testing.assert_close(batch.confidence[:, 0], (1 + number % 255) / 255 * weight)
    torch.testing.assert_close(batch.occluded[:, 0], number % 3 == 0)
    torch.testing.assert_close(
        batch.target_pixels[:, 0], batch.source_pixels + torch.stack([number, -number], -1) * 0.5
    )
    first = s * 6 * POINTS + p
    torch.testing.assert_close(batch.colors, torch.stack([first % 256, first // 256, 0 * first], -1) / 255)
    x, y = batch.source_pixels.long().unbind(-1)
    assert torch.equal(batch.cells, s * 4 + y // 3 * 2 + x // 4)


@pytest.mark.parametrize("hard_share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.99])
def test_what_is_not_believed_is_never_drawn(patchy: Correspondences, share: float, hard_share: float) -> None:
    sampler = make_pair_sampler(patchy, 2000, 20, hard_share)
    batch = draw(sampler, share, generator(1))
    assert (batch.confidence > 0).all()
    found = set(zip(batch.source_frames.tolist(), batch.target_frames[:, 0].tolist(), strict=True))
    believed = {(0, 1), (0, 5), (0, 20), (0, 21), (0, 29), (7, 6), (7, 8), (7, 20), (7, 28), (7, 29)}
    believed |= {(21, 20), (21, 22), (21, 1), (21, 29)}
    longest = {0.0: 20, 0.1: 25, 0.2: 29, 0.99: 29}[share]
    assert found == {(source, target) for source, target in believed if abs(source - target) <= longest}


def test_targets_are_drawn_by_their_points_and_half_of_them_are_adjacent() -> None:
    """Frame 22 is 20 frames away, the farthest at first; frame 23 joins at a fiftieth of the run."""
    counts = {0: 10, 1: 20, 3: 30, 4: 40, 10: 8, 22: 4, 23: 48, 25: 48}
    sampler = make_pair_sampler(from_counts(2, counts, 30), 20_000)
    expected = {0: 10 / 112, 1: 0.5, 3: 0.5, 4: 40 / 112, 10: 8 / 112, 22: 4 / 112}
    check_shares(draw(sampler, 0.0, generator()).target_frames, expected)
    check_shares(draw(sampler, 0.0199, generator(1)).target_frames, expected)
    expected = {0: 10 / 160, 1: 0.5, 3: 0.5, 4: 40 / 160, 10: 8 / 160, 22: 4 / 160, 23: 48 / 160}
    check_shares(draw(sampler, 0.02, generator(2)).target_frames, expected)
    without_mining = make_pair_sampler(from_counts(2, counts, 30), 20_000, hard_share=0.0)
    check_shares(draw(without_mining, 0.02, generator(3)).target_frames, expected)


def test_a_third_is_adjacent_at_the_ends_of_the_clip() -> None:
    """Approximately: the adjacent frame's own count is not among the others'."""
    batch = draw(make_pair_sampler(from_counts(0, {1: 1, 2: 48, 3: 48}, 4), 20_000), EARLY, generator())
    check_shares(batch.target_frames, {1: 0.5, 2: 48 / 97, 3: 48 / 97})


def test_an_adjacent_frame_without_any_point_is_not_drawn() -> None:
    batch = draw(make_pair_sampler(from_counts(1, {0: 0, 2: 5, 3: 15}, 4), 20_000), EARLY, generator())
    check_shares(batch.target_frames, {2: 0.5, 3: 0.75})


def three_sources() -> Correspondences:
    """Return frames 0, 10 and 20, each with all points in the next frame."""
    return make(np.ones((3, 1, POINTS), bool), [0, 10, 20], np.array([[1], [11], [21]]), 30)


@pytest.mark.parametrize(("share", "hard_share"), [(0.0, 0.5), (0.1999, 0.5), (0.2, 0.0), (0.99, 0.0)])
def test_sources_are_even_at_first_and_without_mining(share: float, hard_share: float) -> None:
    sampler = make_pair_sampler(three_sources(), 20_000, 1, hard_share)
    sampler.error[1] = 7
    check_shares(draw(sampler, share, generator()).source_frames, {0: 1, 10: 1, 20: 1})


@pytest.mark.parametrize(("share", "hard_share"), [(0.2, 0.5), (0.99, 0.5), (0.5, 1.0), (0.5, 0.01)])
def test_sources_are_drawn_by_their_error_after_a_fifth_of_the_run(share: float, hard_share: float) -> None:
    sampler = make_pair_sampler(three_sources(), 20_000, 1, hard_share)
    sampler.error.copy_(torch.tensor([[1.0, 1.0, 1.0, 1.0], [2.0, 3.0, 4.0, 5.0], [1.0, 0.0, 1.0, 0.0]]))
    assert HARD_FROM == 0.2
    check_shares(draw(sampler, share, generator()).source_frames, {0: 1, 10: 3.5, 20: 0.5})


def test_a_source_whose_targets_are_all_far_waits() -> None:
    data = make(np.ones((2, 1, POINTS), bool), [0, 10], np.array([[30], [11]]), 60)
    sampler = make_pair_sampler(data, 200)
    assert set(draw(sampler, 0.199, generator()).source_frames.tolist()) == {10}
    assert set(draw(sampler, 0.2, generator()).source_frames.tolist()) == {0, 10}


def test_pairs_are_as_long_as_the_shortest_there_is() -> None:
    data = make(np.ones((2, 1, POINTS), bool), [0, 10], np.array([[30], [50]]), 60)
    batch = draw(make_pair_sampler(data, 200), EARLY, generator())
    assert set(batch.target_frames.flatten().tolist()) == {30}
    assert (batch.confidence > 0).all()


@pytest.mark.parametrize(
    ("num_frames", "share", "gap", "weight"),
    [
        (2, 0.0, 1, 1.0),
        (5, 0.0, 1, 1.0),
        (5, 0.0, 2, 0.92388),  # cos(1/4 of 90 degrees)
        (5, 0.0, 3, 0.70711),
        (5, 0.9, 4, 0.38268),
        (100, 0.0, 11, 0.70711),  # cos(10/20 of 90 degrees)
        (100, 0.4, 11, 0.92388),  # cos(10/40 of 90 degrees)
    ],
)
def test_far_pairs_weigh_less(num_frames: int, share: float, gap: int, weight: float) -> None:
    """By the factor cos((gap - 1) / longest * 90 degrees)."""
    data = from_counts(gap, {0: POINTS}, num_frames)
    batch = draw(make_pair_sampler(data, 1, 100), share, generator())
    raw = (1 + points_of(batch) % 255) / 255
    torch.testing.assert_close(batch.confidence[:, 0], raw * weight, rtol=1e-4, atol=0)


def covered_by_rows() -> Correspondences:
    """The upper third of the points in three targets, the middle in two, the lower in one: the first target has all."""
    believed = np.zeros((1, 3, ROWS, COLUMNS), bool)
    believed[0, 0] = believed[0, 1, :4] = believed[0, 2, :2] = True
    return make(believed.reshape(1, 3, -1), [4], np.array([[5, 6, 7]]), 8)


def test_points_in_few_pairs_are_preferred_at_first() -> None:
    batch = draw(make_pair_sampler(covered_by_rows(), 200, 200), 0.199, generator())
    row = batch.source_pixels[:, 1].long() // 2
    target = batch.target_frames[:, 0]
    check_shares(row[target == 5], {0: 1 / math.sqrt(4), 1: 1 / math.sqrt(3), 2: 1 / math.sqrt(2)})
    check_shares(row[target == 6], {0: 1 / math.sqrt(4), 1: 1 / math.sqrt(3)})
    assert set(row[target == 7].tolist()) == {0}


@pytest.mark.parametrize("share", [EARLY, LATE])
def test_points_are_even_without_mining(share: float) -> None:
    sampler = make_pair_sampler(covered_by_rows(), 200, 200, hard_share=0.0)
    sampler.error[0, 0] = 9
    batch = draw(sampler, share, generator())
    row = batch.source_pixels[:, 1].long() // 2
    check_shares(row[batch.target_frames[:, 0] == 5], {0: 1, 1: 1, 2: 1})


@pytest.mark.parametrize("hard_share", [0.25, 0.5, 1.0])
def test_points_are_drawn_by_the_error_of_their_region_later(hard_share: float) -> None:
    """Twelve points in each region, six in the last one: 42, with errors 1, 1, 2 and 5."""
    believed = np.ones((2, 1, ROWS, COLUMNS), bool)
    believed[1, 0, 3:, 6:] = False
    data = make(believed.reshape(2, 1, -1), [0, 1], np.array([[1], [0]]), 2)
    sampler = make_pair_sampler(data, 200, 200, hard_share)
    sampler.error[1] = torch.tensor([1.0, 1.0, 2.0, 5.0])
    batch = draw(sampler, LATE, generator())
    second = batch.source_frames == 1
    even, hard = np.array([12, 12, 12, 6]) / 42, np.array([12, 12, 24, 30]) / 78
    expected = (1 - hard_share) * even + hard_share * hard
    check_shares(batch.cells[second] - 4, dict(enumerate(expected)))
    check_shares(batch.cells[~second], dict.fromkeys(range(4), 1))


def test_a_pair_that_fits_exactly_does_no_harm() -> None:
    sampler = make_pair_sampler(covered_by_rows(), 4, 50)
    sampler.error.zero_()
    assert (draw(sampler, LATE, generator()).confidence > 0).all()


@pytest.mark.parametrize(("anchors", "pairs", "expected"), [(64, 8, 64), (66, 8, 64), (3, 8, 3), (64, 1, 64)])
def test_pairs_share_the_anchors(patchy: Correspondences, anchors: int, pairs: int, expected: int) -> None:
    batch = draw(PairSampler(patchy, FitSettings(anchors=anchors, pairs=pairs, regions=2)), EARLY, generator())
    assert len(batch.source_frames) == expected
    of_pairs = torch.stack([batch.source_frames, batch.target_frames[:, 0]], 1).view(min(pairs, anchors), -1, 2)
    assert (of_pairs == of_pairs[:, :1]).all(), "the points of a pair follow each other"


def test_neighbours_lie_beside_their_anchors_in_the_same_pair(patchy: Correspondences) -> None:
    alone = draw(make_pair_sampler(patchy, 8, 25), EARLY, generator())
    batch = draw(make_pair_sampler(patchy, 8, 25, neighbours=True), EARLY, generator())
    assert torch.equal(batch.target_pixels[:200], alone.target_pixels)
    assert torch.equal(batch.confidence[:200], alone.confidence)
    step = batch.source_pixels[200:] - batch.source_pixels[:200]
    at_the_end = batch.source_pixels[:200, 0] == COLUMNS - 1
    assert torch.equal(step[:, 0], torch.where(at_the_end, -1.0, 1.0))
    assert not step[:, 1].any()
    assert torch.equal(batch.source_frames[200:], batch.source_frames[:200])
    assert torch.equal(batch.target_frames[200:], batch.target_frames[:200])
    s = torch.searchsorted(patchy.sources, batch.source_frames)
    k = (patchy.targets[s] == batch.target_frames).long().argmax(1)
    believed = patchy.confidence[s, k, points_of(batch)] > 0
    assert not believed.all()
    assert torch.equal(batch.confidence[:, 0] > 0, believed)


@pytest.mark.parametrize("share", [EARLY, LATE])
def test_the_generator_alone_decides(patchy: Correspondences, share: float) -> None:
    def drawn(seed: int) -> Batch:
        return draw(make_pair_sampler(patchy, 8, 10), share, generator(seed))

    torch.manual_seed(1)
    first = drawn(1)
    torch.manual_seed(2)
    assert torch.equal(first.target_pixels, drawn(1).target_pixels)
    assert not torch.equal(first.target_pixels, drawn(2).target_pixels)


def test_a_batch_teaches_the_sampler_its_errors(patchy: Correspondences) -> None:
    sampler = make_pair_sampler(patchy, 2, 3)
    error, batch = sampler.error, draw(sampler, EARLY, generator())
    sampler.update(batch, torch.full((6,), 11.0))
    assert sampler.error is error, "a checkpoint holds on to it"
    expected = torch.ones(16)
    expected[batch.cells] = 2.0
    torch.testing.assert_close(sampler.error.flatten(), expected)
