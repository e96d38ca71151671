"""Places seen in two neighbouring frames: where the flow returns, inside the frame, spread over the clip."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.descriptors.principal_axes import LEARNED_FRAMES
from omnitrack.correspondence.descriptors.two_views import CONSISTENT_PX, SPACING_PX, two_views

SIZE = (64, 48)
SCALE = 48 / 256


def flow(source: int, target: int) -> NDArray[np.float32]:
    """Everything moves right by 3 px a frame; the lower half does not return."""
    found = np.zeros((48, 64, 2), np.float32)
    found[..., 0] = 3 * (target - source)
    if target < source:
        found[24:, :, 1] = 2 * CONSISTENT_PX * SCALE
    return found


def test_places_that_return_are_seen_and_land_where_the_flow_leads() -> None:
    views = two_views(flow, 40, SIZE)
    assert [view.frame for view in views] == np.linspace(0, 38, LEARNED_FRAMES).round().astype(int).tolist()
    for view in views:
        x, y = view.places.T
        assert np.array_equal(view.seen, (y < 24) & (x + 3 <= 63.5))
        assert np.allclose(view.landed, view.places[view.seen] + (3, 0))
        assert np.diff(np.unique(x)).min() == max(1, round(SPACING_PX * SCALE))


@pytest.mark.parametrize(("frames", "pairs"), [(1, []), (2, [0]), (4, [0, 1, 2])])
def test_short_clips_have_fewer_pairs(frames: int, pairs: list[int]) -> None:
    assert [view.frame for view in two_views(flow, frames, SIZE)] == pairs


def test_flow_that_is_not_finite_leads_nowhere() -> None:
    views = two_views(lambda *_: np.full((48, 64, 2), np.nan, np.float32), 3, SIZE)
    assert len(views) == 2 and not any(view.seen.any() or len(view.landed) for view in views)
