"""Forward, back, and forward again: errors by hand, and the effect of an occluder."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.correspondence.consistency import Hop, double_cycle_error, reliable_occlusion, take_hop
from omnitrack.correspondence.flows import FlowSource
from omnitrack.correspondence.raster import pixel_grid
from omnitrack.synthetic import occluder_scene

SIZE = (12, 10)


class TwoFlows(FlowSource):
    """A forward flow 0 -> 1 and a backward flow 1 -> 0."""

    size = SIZE

    def __init__(self, forward: NDArray[np.float32], backward: NDArray[np.float32]) -> None:
        self._flows = {(0, 1): forward, (1, 0): backward}

    def has(self, source: int, target: int) -> bool:
        return (source, target) in self._flows

    def flow(self, source: int, target: int) -> NDArray[np.float32]:
        return self._flows[source, target]


def constant(dx: float, dy: float) -> NDArray[np.float32]:
    return np.full((SIZE[1], SIZE[0], 2), (dx, dy), np.float32)


def test_constant_flow_has_no_error() -> None:
    flows = TwoFlows(constant(1.5, -0.25), constant(-1.5, 0.25))
    hop = take_hop(flows, 0, 1, pixel_grid(SIZE))
    np.testing.assert_allclose(hop.pixels, pixel_grid(SIZE) + np.float32((1.5, -0.25)))
    np.testing.assert_allclose(hop.cycle_error, 0, atol=1e-6)
    np.testing.assert_allclose(hop.returned, pixel_grid(SIZE), atol=1e-6)
    np.testing.assert_allclose(double_cycle_error(flows, 0, 1, hop), 0, atol=1e-6)


def test_landing_beside_the_frame_is_not_inside() -> None:
    points = np.array([[9.0, 5.0], [11.0, 5.0], [5.0, 0.0]], np.float32)
    hop = take_hop(TwoFlows(constant(1, -1), constant(-1, 1)), 0, 1, points)
    assert hop.inside.tolist() == [True, False, False]


def test_errors_of_an_inconsistent_pair_by_hand() -> None:
    """F = (2, 0) left of x = 6 and (5, 0) from there; B = (1, 4) everywhere.

    From (2, 3): there (4, 3), back (5, 7): e1 = |(3, 4)| = 5; there again (7, 7): e2 = |(3, 4)| = 5.
    From (4, 3): there (6, 3), back (7, 7): e1 = |(3, 4)| = 5; there again by 5 (12, 7): e2 = |(6, 4)| = sqrt(52).
    """
    forward = constant(2, 0)
    forward[:, 6:, 0] = 5
    points = np.array([[2, 3], [4, 3]], np.float32)
    flows = TwoFlows(forward, constant(1, 4))
    hop = take_hop(flows, 0, 1, points)
    np.testing.assert_allclose(hop.pixels, [[4, 3], [6, 3]])
    np.testing.assert_allclose(hop.cycle_error, [5, 5], rtol=1e-6)
    np.testing.assert_allclose(hop.returned, [[5, 7], [7, 7]])
    np.testing.assert_allclose(double_cycle_error(flows, 0, 1, hop), [5, np.sqrt(52)], rtol=1e-6)
    assert hop.inside.all()


@pytest.mark.parametrize(
    ("cycle", "double", "is_inside", "expected"),
    [
        (3.1, 1.9, True, True),
        (2.9, 1.9, True, False),  # not above 1.5 thresholds: it may still be the surface itself
        (3.1, 2.1, True, False),  # the surface that is visible there is not matched well either
        (3.1, 1.9, False, False),
    ],
)
def test_reliable_occlusion_thresholds(cycle: float, double: float, is_inside: bool, expected: bool) -> None:
    hop = Hop(
        np.zeros((1, 2), np.float32),
        np.zeros((1, 2), np.float32),
        np.array([cycle]),
        np.array([is_inside]),
        np.ones(1),
        np.zeros(1),
    )
    assert reliable_occlusion(hop, np.array([double]), 2.0).tolist() == [expected]


def test_reliable_occlusion_finds_what_goes_behind_an_analytic_occluder(exact_flows: type) -> None:
    """A disc moves by 12 pixels, partly behind a static pole; its points land on the pole, whose own flow is exact."""
    scene = occluder_scene((128, 96), 8, speed=12.0, turn=0.0)
    points = pixel_grid(scene.size, 2)
    layer = scene.top_layer(2, points)
    seen = scene.tracks(np.column_stack([np.full(len(points), 2), points]))[1][:, 3]
    flows = exact_flows(scene)
    hop = take_hop(flows, 2, 3, points)
    found = reliable_occlusion(hop, double_cycle_error(flows, 2, 3, hop), 2.0)
    hidden_disc = (layer == 1) & ~seen
    assert hidden_disc.sum() > 50
    assert found[hidden_disc].mean() > 0.9, "landing between two surfaces mixes their flow, deeper in it is exact"
    assert found[seen].mean() < 0.02
    assert (hop.cycle_error[seen] < 1e-3).mean() > 0.95
