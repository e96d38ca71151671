"""The choice of a sampler, and draws in proportion to weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from moments import draw

from omnitrack.errors import OmnitrackError
from omnitrack.optimize.batch import Extras, draw_in_proportion
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.methods import get_method
from omnitrack.optimize.pair_sampler import PairSampler
from omnitrack.optimize.region_sampler import RegionSampler
from omnitrack.optimize.sampler import SAMPLERS, make_sampler
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes

CHI_SQUARE_2 = 13.82  # 99.9 % quantile at two degrees of freedom


@pytest.fixture
def data(exact_correspondences: Callable[..., Correspondences]) -> Correspondences:
    return exact_correspondences(two_planes((16, 12), 4))


@pytest.mark.parametrize(("name", "kind"), [("regions", RegionSampler), ("pairs", PairSampler)])
def test_the_settings_choose(data: Correspondences, name: str, kind: type) -> None:
    assert isinstance(make_sampler(data, FitSettings(sampler=name), Extras()), kind)


def test_every_choice_of_the_settings_is_a_sampler() -> None:
    (sampler,) = (field for field in fields(FitSettings) if field.name == "sampler")
    assert tuple(SAMPLERS) == tuple(sampler.metadata["choices"])


@pytest.mark.parametrize("name", SAMPLERS)
def test_nothing_to_draw_from_is_an_error(data: Correspondences, name: str) -> None:
    nothing = replace(data, confidence=torch.zeros_like(data.confidence))
    with pytest.raises(OmnitrackError, match="no correspondence over at most 3 frames is trusted") as caught:
        make_sampler(nothing, FitSettings(sampler=name, longest_gap=3), Extras())
    assert caught.value.hint == "allow longer ones: --set fit.longest_gap=0"


@pytest.mark.parametrize("neighbours", [False, True])
@pytest.mark.parametrize("name", SAMPLERS)
def test_blank_frames_are_those_in_which_an_anchor_was_not_found_or_not_seen(
    data: Correspondences, name: str, neighbours: bool
) -> None:
    """From frame 0, nothing is found in frame 2 and all is occluded in frame 3; all else is found and visible."""
    confidence, occluded = torch.full_like(data.confidence, 255), torch.zeros_like(data.occluded)
    confidence[0, data.targets[0] == 2] = 0
    occluded[0, data.targets[0] == 3] = True
    data = replace(data, confidence=confidence, occluded=occluded)
    sampler = make_sampler(data, FitSettings(sampler=name, anchors=600), Extras(neighbours, blank_frames=True))
    batch = draw(sampler, 1.0, torch.Generator().manual_seed(0))
    assert batch.blank_frames is not None
    first = batch.source_frames == 0
    assert set(batch.blank_frames[first].tolist()) == {-1, 2, 3}
    assert set(batch.blank_frames[~first].tolist()) == {-1}
    assert batch.beside_cut is not None and not batch.beside_cut.any()
    cut = replace(data, beside_cut=torch.arange(data.num_frames) == 3)
    batch = draw(
        make_sampler(cut, FitSettings(sampler=name, anchors=600), Extras(neighbours, blank_frames=True)),
        1.0,
        torch.Generator().manual_seed(0),
    )
    assert batch.blank_frames is not None and set(batch.blank_frames.tolist()) == {-1, 2}
    assert batch.beside_cut is not None and torch.equal(batch.beside_cut, batch.source_frames == 3)


def test_bounds_by_hand() -> None:
    """Of the weights 0, 1, 0, 3 and 0, the second begins at 0 and the fourth at 1/4."""
    uniform = torch.tensor([0.0, 0.2499, 0.25, 0.9, np.nextafter(1.0, 0.0)], dtype=torch.float64)
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0])
    assert draw_in_proportion(weights, uniform).tolist() == [1, 1, 3, 3, 3]
    rows = draw_in_proportion(torch.stack([weights, weights.flip(0)]), uniform.repeat(2, 1))
    assert rows.tolist() == [[1, 1, 3, 3, 3], [1, 1, 1, 3, 3]]


def test_each_entry_of_a_long_row_is_drawn_as_often_as_its_weight_says() -> None:
    weights = torch.cat([torch.full((100_000,), 1.0), torch.zeros(100_000), torch.full((50_000,), 4.0)])
    uniform = torch.rand(30_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = draw_in_proportion(weights, uniform).numpy()
    found = np.histogram(index, [0, 50_000, 100_000, 200_000, 250_000])[0]
    assert found[2] == 0
    expected = 30_000 * np.array([1, 1, 4]) / 6
    assert ((found[[0, 1, 3]] - expected) ** 2 / expected).sum() < CHI_SQUARE_2


def test_weights_that_are_not_finite_stay_on_the_array() -> None:
    uniform = torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = draw_in_proportion(torch.tensor([1.0, float("nan"), 1.0]), uniform)
    assert ((index >= 0) & (index < 3)).all()


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_nobody_asks_for_is_not_drawn_and_changes_no_other_draw(data: Correspondences, name: str) -> None:
    settings = FitSettings(sampler=name, anchors=40)
    plain = draw(make_sampler(data, settings, Extras()), 1.0, torch.Generator().manual_seed(0))
    full = make_sampler(data, settings, Extras(neighbours=True, blank_frames=True))
    batch = draw(full, 1.0, torch.Generator().manual_seed(0))
    assert plain.blank_frames is None
    assert torch.equal(plain.source_pixels, batch.source_pixels[:40])
    assert torch.equal(plain.target_frames, batch.target_frames[:40])


@pytest.mark.parametrize(
    ("method", "weights", "expected"),
    [
        ("cadex", {}, Extras(blank_frames=True)),
        ("cadex", {"smoothness_weight": 0.0}, Extras()),
        ("omnimotion", {}, Extras()),
    ],
)
def test_a_method_asks_for_what_its_losses_read(method: str, weights: dict[str, float], expected: Extras) -> None:
    settings = FitSettings(method=method)
    settings = replace(settings, cadex=replace(settings.cadex, **weights))
    assert get_method(method).extras(settings) == expected
