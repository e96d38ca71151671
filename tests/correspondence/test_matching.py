"""Long-range matches: each filter on maps so small that the result is known by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from omnitrack.correspondence import matching
from omnitrack.correspondence.match_limits import CALIBRATIONS, PUBLISHED, calibrated
from omnitrack.correspondence.matching import (
    FrameCells,
    Matches,
    in_company,
    local_similarity,
    match_cells,
    mutual_nearest,
    peak_offset,
    prepare_cells,
    self_similar_share,
)
from omnitrack.settings import MatchSettings

OPEN = MatchSettings(similarity=1e-6, self_similarity=1.1, local_least=-1.0, local_most=2.0, isolation_px=())
"""Lets every mutual pair through."""
SIZE = (96, 64)


def unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=-1, keepdim=True)


def match_frames(a: Tensor, b: Tensor, size: tuple[int, int], settings: MatchSettings) -> Matches:
    """Match two feature maps (h, w, C) of unit length."""
    return match_cells(prepare_cells(a, settings), prepare_cells(b, settings), size, settings)


def random_map(seed: int, shape: tuple[int, int] = (8, 12), channels: int = 32) -> Tensor:
    return unit(torch.randn(*shape, channels, generator=torch.Generator().manual_seed(seed)))


def at_angles(degrees: list[float]) -> Tensor:
    """(N, 2) unit vectors: the cosine of two of them is that of the difference of their angles."""
    radians = torch.tensor(degrees) * math.pi / 180
    return torch.stack([radians.cos(), radians.sin()], -1)


def cells_of(features: Tensor) -> FrameCells:
    flat = features.flatten(0, 1)
    return FrameCells(flat, (features.shape[0], features.shape[1]), torch.ones(len(flat), dtype=torch.bool))


def as_set(source: Tensor, target: Tensor) -> set[tuple[float, ...]]:
    rows = torch.cat([source, target], -1).double()
    return {tuple(round(value, 3) for value in row) for row in rows.tolist()}


def bump(at: tuple[float, float], shape: tuple[int, int] = (7, 9)) -> Tensor:
    """A map whose cosine with `BUMP` is 1 - 0.02 r^2 at a distance of r cells from (x, y)."""
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    cosine = 1 - 0.02 * ((x - at[0]) ** 2 + (y - at[1]) ** 2)
    return torch.stack([cosine, (1 - cosine**2).clamp_min(0).sqrt()], -1)


BUMP = torch.tensor([1.0, 0.0])


# --- mutual nearest neighbours -----------------------------------------------------------------------------------
@pytest.mark.parametrize("entries", [matching.CHUNK_ENTRIES, 8, 1])  # one piece, several, row by row
def test_mutual_nearest_neighbours_by_hand(entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """91 and 100 are each other's nearest, and so are 50 and 55. 48 also prefers 55, which prefers 50; none 200."""
    monkeypatch.setattr(matching, "CHUNK_ENTRIES", entries)
    a, b = cells_of(at_angles([91, 48, 50])[None]), cells_of(at_angles([55, 100, 200])[None])
    source, target, similarity = mutual_nearest(a, b, -1.0)
    assert list(zip(source.tolist(), target.tolist(), strict=True)) == [(0, 1), (2, 0)]
    np.testing.assert_allclose(similarity, np.cos(np.deg2rad([9, 5])), rtol=1e-5)


def test_mutual_nearest_neighbours_of_an_independent_implementation() -> None:
    a, b = cells_of(random_map(0)), cells_of(random_map(1, (6, 9)))
    cosine = a.features.double().numpy() @ b.features.double().numpy().T
    expected = {(i, j) for i, j in enumerate(cosine.argmax(1)) if cosine[:, j].argmax() == i}
    source, target, _ = mutual_nearest(a, b, -1.0)
    assert set(zip(source.tolist(), target.tolist(), strict=True)) == expected
    assert len(expected) > 10
    some = replace(a, distinctive=torch.arange(96) % 2 == 0), replace(b, distinctive=torch.arange(54) % 3 > 0)
    source, target, similarity = mutual_nearest(*some, 0.3)  # the others do not match, but remain rivals
    expected = {(i, j) for i, j in expected if i % 2 == 0 and j % 3 > 0 and cosine[i, j] > 0.3}
    assert set(zip(source.tolist(), target.tolist(), strict=True)) == expected
    assert expected
    np.testing.assert_allclose(similarity, cosine[source, target], rtol=1e-5)


# --- the filters of one frame ------------------------------------------------------------------------------------
def test_self_similar_share_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = at_angles([0, 10, 25, 120])
    limit = math.cos(math.radians(20))
    expected = torch.tensor([2, 3, 2, 1]) / 4  # each cell resembles itself
    torch.testing.assert_close(self_similar_share(cells, limit), expected)
    monkeypatch.setattr(matching, "CHUNK_ENTRIES", 1)
    torch.testing.assert_close(self_similar_share(cells, limit), expected)


def test_local_similarity_by_hand() -> None:
    """Windows of 3 x 3 cells, truncated at the border: a row of three vectors, the last orthogonal to the others."""
    features = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]])
    torch.testing.assert_close(local_similarity(features, 0.0), torch.tensor([[1.0, 2 / 3, 1 / 2]]))


def test_local_similarity_of_an_independent_implementation() -> None:
    """A window of 5 x 5 cells in 10 x 10: half the side."""
    features = random_map(3, (10, 10), 4)
    found = local_similarity(features, 0.5)
    for y, x in ((0, 0), (4, 5), (9, 3)):
        around = features[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].flatten(0, 1)
        assert found[y, x].item() == pytest.approx((around @ features[y, x]).mean().item(), abs=1e-5)


def test_cells_that_fail_alone_do_not_match() -> None:
    """The left half of a 20 x 20 map is one texture: its 200 cells resemble more than one in 20 of their frame."""
    a = random_map(5, (20, 20), 64)
    a[:, :10] = unit(a[:1, :1] + 0.02 * a[:, :10])
    settings = replace(OPEN, self_similarity=0.8, cycle_cells=2.0)
    matches = match_frames(a, a, (20, 20), settings)
    assert as_set(matches.source, matches.target) == {
        (float(x), float(y), float(x), float(y)) for x in range(10, 20) for y in range(20)
    }
    everything = match_frames(a, a, (20, 20), replace(OPEN, cycle_cells=2.0))
    assert len(everything) > 300


@pytest.mark.parametrize(("least", "most", "kept"), [(-1, 2, "both"), (0.5, 2, "smooth"), (-1, 0.5, "rough")])
def test_the_local_limits_choose_between_smooth_and_rough(least: float, most: float, kept: str) -> None:
    a = random_map(6, (12, 24), 64)
    a[:, :12] = unit(a[:1, :1] + 0.1 * a[:, :12])  # similar, but no two equal
    matches = match_frames(a, a, (24, 12), replace(OPEN, local_least=least, local_most=most))
    left = (matches.source[:, 0] < 9).any().item(), (matches.source[:, 0] > 14).any().item()
    assert left == {"both": (True, True), "smooth": (True, False), "rough": (False, True)}[kept]


# --- refinement --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("at", [(4.0, 3.0), (4.3, 3.0), (3.8, 3.4), (4.0, 2.6)])
def test_the_peak_of_a_parabola_is_found_exactly(at: tuple[float, float]) -> None:
    here = cells_of(BUMP[None, None])
    there = cells_of(bump(at))
    cell = torch.tensor([3 * 9 + 4])
    found = peak_offset(here, there, torch.tensor([0]), cell)
    torch.testing.assert_close(found, torch.tensor([[at[0] - 4, at[1] - 3]]), atol=1e-4, rtol=0)


def test_there_is_no_offset_at_the_border_nor_without_a_peak() -> None:
    flat = cells_of(BUMP.expand(5, 5, 2))
    valley = cells_of(unit(torch.stack([2 - bump((2.0, 2.0), (5, 5))[..., 0], torch.ones(5, 5)], -1)))
    here = cells_of(BUMP[None, None])
    middle = torch.tensor([12])
    assert peak_offset(here, flat, torch.tensor([0]), middle).tolist() == [[0, 0]]
    assert peak_offset(here, valley, torch.tensor([0]), middle).tolist() == [[0, 0]]
    corner = peak_offset(here, cells_of(bump((0.3, 0.3), (5, 5))), torch.tensor([0]), torch.tensor([0]))
    assert corner.tolist() == [[0, 0]]


def smooth_map(shift: float, shape: tuple[int, int] = (16, 24), seed: int = 0, turn: float = 1.0) -> Tensor:
    """Waves of many directions and lengths, sampled `shift` cells further right: a texture that moved by that much."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(64, 2, generator=generator) * turn
    phase = torch.rand(64, generator=generator) * 2 * math.pi
    y, x = torch.meshgrid(torch.arange(shape[0]), torch.arange(shape[1]), indexing="ij")
    return unit(torch.cos((x + shift)[..., None] * waves[:, 0] + y[..., None] * waves[:, 1] + phase))


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.4, 2.3])
def test_a_known_motion_is_found_below_the_size_of_a_cell(shift: float) -> None:
    size = (24 * 8, 16 * 8)  # cells of 8 pixels
    matches = match_frames(smooth_map(0.0), smooth_map(shift), size, OPEN)
    inner = ((matches.source > 12) & (matches.source < torch.tensor(size) - 12)).all(1)
    inner &= ((matches.target > 12) & (matches.target < torch.tensor(size) - 12)).all(1)
    motion = (matches.target - matches.source)[inner]
    assert len(motion) > 60
    expected = torch.tensor([-8 * shift, 0.0])
    error = (motion - expected).norm(dim=-1)
    assert error.median() < 0.5, "a cell's centre is up to 4 pixels off"
    assert error.quantile(0.95) < 1.0


def test_refinements_that_disagree_are_dropped() -> None:
    """For cell 31 of a, the peak in b is right of cell 40; for cell 40 of b, cell 31 of a is the exact peak."""
    a, b = random_map(1, channels=64), random_map(2, channels=64)
    b[3, 4] = a[2, 7]
    b[3, 5] = unit(a[2, 7] + 0.6 * b[3, 5])
    b[3, 3] = unit(a[2, 7] + 5.0 * b[3, 3])
    both = [match_frames(a, b, SIZE, replace(OPEN, similarity=0.99, cycle_cells=limit)) for limit in (0.5, 0.02)]
    assert [len(found) for found in both] == [1, 0]


# --- isolation ---------------------------------------------------------------------------------------------------
def matches_of(source: list[tuple[float, float]], target: list[tuple[float, float]]) -> Matches:
    return Matches(torch.tensor(source), torch.tensor(target), torch.ones(len(source)))


def test_isolation_by_hand() -> None:
    """Three in a row, one far off in the first frame, one far off in the second, a pair without a third."""
    source = [(0.0, 0.0), (3, 0), (6, 0), (50, 50), (4, 1), (80, 80), (81, 80)]
    target = [(10.0, 10), (13, 10), (16, 10), (14, 11), (60, 60), (90, 5), (91, 5)]
    keep = in_company(matches_of(source, target), 7.0)
    assert keep.tolist() == [True, True, True, False, False, False, False]


def test_isolation_asks_for_nearer_than_the_reach() -> None:
    row = [(0.0, 0.0), (5, 0), (10, 0), (15, 0)]
    assert in_company(matches_of(row, row), 5.0).tolist() == [False] * 4
    assert in_company(matches_of(row, row), 5.1).tolist() == [False, True, True, False]
    assert in_company(matches_of(row, row), 10.1).tolist() == [True] * 4


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_than_four_matches_cannot_vouch_for_each_other(count: int) -> None:
    same = [(0.0, 0.0)] * count
    found = matches_of(same, same) if count else Matches(torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0))
    assert in_company(found, 10.0).tolist() == [False] * count


def test_isolation_is_a_distance_at_256() -> None:
    """The reach of 22.5 pixels on a frame of 512 x 512 is 45 of its pixels; cells are 32 pixels."""
    a = random_map(4, (16, 16))
    settings = replace(OPEN, cycle_cells=2.0)
    assert len(match_frames(a, a, (512, 512), replace(settings, isolation_px=(15.9,)))) == 0  # 31.8 pixels
    assert len(match_frames(a, a, (512, 512), replace(settings, isolation_px=(16.1,)))) == 256  # 32.2 pixels


def test_a_second_pass_can_drop_what_the_first_left_alone() -> None:
    a = random_map(9, (1, 12))
    b = a.clone()
    b[0, 3:] = random_map(10, (1, 12))[0, 3:]
    b[0, 11] = a[0, 11]  # 0, 1, 2 and 11 match
    settings = replace(OPEN, similarity=0.99, cycle_cells=2.0)
    # cells of 10 pixels on a frame of 120 x 10, whose raster scale is sqrt(1200) / 256
    scale = math.sqrt(1200) / 256
    counts = [len(match_frames(a, b, (120, 10), replace(settings, isolation_px=p))) for p in ((25 / scale,),) * 1]
    twice = len(match_frames(a, b, (120, 10), replace(settings, isolation_px=(25 / scale, 25 / scale))))
    assert (counts, twice) == ([3], 0), "three are too few for a second pass"


# --- all steps together ------------------------------------------------------------------------------------------
def close_pair() -> tuple[Tensor, Tensor]:
    a = smooth_map(0.0, (12, 14), seed=3, turn=0.8)
    return a, unit(smooth_map(1.3, (12, 14), seed=3, turn=0.8) + 0.3 * random_map(8, (12, 14), 64))


STRICT = MatchSettings(similarity=0.8, self_similarity=0.7, local_least=-1.0, local_most=2.0, isolation_px=(60.0, 50.0))


def test_both_frames_are_treated_alike() -> None:
    a, b = close_pair()
    there, back = match_frames(a, b, (140, 120), STRICT), match_frames(b, a, (140, 120), STRICT)
    assert 20 < len(there) < 168
    assert as_set(there.source, there.target) == as_set(back.target, back.source)


def test_the_order_of_cells_does_not_matter() -> None:
    """Flipped vertically, the frames have the same matches, flipped."""
    a, b = close_pair()
    found = match_frames(a, b, (140, 120), STRICT)
    turned = match_frames(a.flip(0), b.flip(0), (140, 120), STRICT)
    flip = torch.tensor([1.0, -1.0]), torch.tensor([0.0, 119.0])
    assert as_set(found.source, found.target) == as_set(
        turned.source * flip[0] + flip[1], turned.target * flip[0] + flip[1]
    )


@pytest.mark.parametrize("settings", [OPEN, STRICT, calibrated(MatchSettings(), "xfeat")])
def test_maps_without_anything_to_match(settings: MatchSettings) -> None:
    constant = unit(torch.ones(6, 7, 8))
    for a, b in ((constant, constant), (constant, -constant), (torch.zeros(6, 7, 8), random_map(0, (6, 7), 8))):
        matches = match_frames(a, b, (70, 60), settings)
        assert matches.source.shape == matches.target.shape == (len(matches), 2)
        assert torch.isfinite(matches.source).all()
        assert len(matches) <= 1
    one = match_frames(constant[:1, :1], constant[:1, :1], (70, 60), OPEN)
    assert as_set(one.source, one.target) == {(34.5, 29.5, 34.5, 29.5)}


def test_limits_of_zero_are_those_of_the_extractor() -> None:
    assert calibrated(MatchSettings(), "xfeat").similarity == CALIBRATIONS["xfeat"].similarity
    own = calibrated(MatchSettings(), "dinov2")
    assert (own.similarity, own.self_similarity) == (PUBLISHED.similarity, PUBLISHED.self_similarity) == (0.75, 0.55)
    assert (own.local_least, own.local_most) == PUBLISHED.local == (0.3, 1.0)
    said = MatchSettings(similarity=0.6, self_similarity=0.5, local_least=-1.0, local_most=0.9)
    assert calibrated(said, "xfeat") == said
