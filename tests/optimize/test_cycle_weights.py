"""Correspondences that do not lead back have a lower weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from omnitrack.correspondence.raster import grid_shape, pixel_grid
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.cycle_weights import NO_WAY_BACK, cycle_weighted

SIZE = (256, 256)
STRIDE = 4
SHAPE = grid_shape(SIZE, STRIDE)
POINTS = SHAPE[0] * SHAPE[1]
MOTION = np.array([12.0, -8.0])
CONFIDENCE = 200
INNER = np.s_[8:-8, 8:-8]  # of the grid: forward and back stays inside the frame


def there_and_back(wrong_px: float = 0.0, size: tuple[int, int] = SIZE) -> Correspondences:
    """Between frames 0 and 1 everything moves by MOTION, and the way back is `wrong_px` off; 0 to 2 has no way back."""
    displacement = np.zeros((2, 2, POINTS, 2))
    displacement[:] = MOTION
    displacement[1, 0] = -MOTION + [wrong_px, 0]
    return Correspondences.from_numpy(
        sources=np.array([0, 1]),
        targets=np.array([[1, 2], [0, -1]]),
        grid=pixel_grid(SIZE, STRIDE) * np.float32(size[0] / SIZE[0]),
        grid_shape=SHAPE,
        displacement=(displacement * 32).astype(np.int16),
        confidence=np.full((2, 2, POINTS), CONFIDENCE, np.uint8),
        occluded=np.zeros((2, 2, POINTS), bool),
        colors=np.zeros((2, POINTS, 3), np.uint8),
        unit_px=size[0] / SIZE[0] / 32,
        size=size,
        num_frames=3,
        device=torch.device("cpu"),
    )


def inner(confidence: torch.Tensor) -> set[int]:
    return set(confidence.view(*SHAPE)[INNER].flatten().tolist())


@pytest.mark.parametrize("size", [SIZE, (4 * SIZE[0], 4 * SIZE[1])])
@pytest.mark.parametrize(("wrong_px", "share"), [(0.0, 1.0), (2.0, 1 / 2), (4.0, 1 / 5), (6.0, 1 / 10)])
def test_confidence_falls_with_the_distance_from_the_start(
    wrong_px: float, share: float, size: tuple[int, int]
) -> None:
    found = cycle_weighted(there_and_back(wrong_px, size), 2.0)
    assert inner(found.confidence[0, 0]) == {round(CONFIDENCE * share)}
    assert inner(found.confidence[1, 0]) == {round(CONFIDENCE * share)}


def test_pairs_without_the_other_way_stay_as_they_are() -> None:
    found = cycle_weighted(there_and_back(20.0), 2.0)
    assert (found.confidence[0, 1] == CONFIDENCE).all()


@pytest.mark.parametrize("reason", ["not believed", "hidden"])
def test_a_landing_place_of_which_nothing_is_known_counts_a_little(reason: str) -> None:
    data = there_and_back()
    if reason == "hidden":
        data.occluded[1, 0] = True
    else:
        data.confidence[1, 0] = 0
    assert inner(cycle_weighted(data, 2.0).confidence[0, 0]) == {round(CONFIDENCE * NO_WAY_BACK)}


def test_hidden_correspondences_stay_as_they_are() -> None:
    data = there_and_back(20.0)
    data.occluded[0, 0, ::2] = True
    found = cycle_weighted(data, 2.0).confidence[0, 0]
    assert (found[::2] == CONFIDENCE).all()
    assert (found[1::2] < CONFIDENCE).any()


def test_nothing_is_believed_that_was_not_and_nothing_is_given_up() -> None:
    data = there_and_back(20.0)
    data.confidence[0, 0, ::3] = 0
    data.confidence[0, 0, 1::3] = 1
    found = cycle_weighted(data, 2.0).confidence[0, 0]
    assert (found[::3] == 0).all()
    assert (found[1::3] == 1).all()
    assert (data.confidence[0, 0, 1::3] == 1).all()  # the input is unchanged


def test_zero_leaves_all_as_they_are() -> None:
    data = there_and_back(20.0)
    assert cycle_weighted(data, 0.0) is data


def test_a_target_that_a_source_lacks_is_no_way_back() -> None:
    """Frames 0 and 2 lead to each other exactly; frame 1 has no target, and its empty slot contains nothing."""
    data = there_and_back()
    missing = torch.tensor([[2], [-1], [0]])
    displacement = torch.stack(
        [data.displacement[0, :1], torch.zeros_like(data.displacement[0, :1]), data.displacement[1, :1]]
    )
    confidence = torch.full((3, 1, POINTS), CONFIDENCE, dtype=torch.uint8)
    confidence[1] = 0
    three = replace(
        data,
        sources=torch.arange(3),
        targets=missing,
        displacement=displacement,
        confidence=confidence,
        occluded=torch.zeros(3, 1, POINTS, dtype=torch.bool),
    )
    weighted = cycle_weighted(three, 2.0).confidence.view(3, *SHAPE)
    assert (weighted[0][INNER] == CONFIDENCE).all() and (weighted[2][INNER] == CONFIDENCE).all()
    assert not weighted[1].any()
