"""Flow computed on demand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.estimators.contract import Clip, OneByOne
from omnitrack.correspondence.flows import OnDemandFlows


class RecordingEstimator:
    """Returns the frames from source to target (a frame's value is its index), and records its initial flow."""

    def __init__(self) -> None:
        self.starts: list[tuple[int, int, float | None]] = []

    def estimate(
        self, source: NDArray[np.uint8], target: NDArray[np.uint8], initial: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        i, j = int(source.flat[0]), int(target.flat[0])
        self.starts.append((i, j, None if initial is None else float(initial.flat[0])))
        return np.full((*source.shape[:2], 2), j - i, np.float32)


def test_on_demand_flow_starts_from_the_nearer_flow_of_the_same_source_and_direction() -> None:
    estimator = RecordingEstimator()
    clip = Clip(lambda t: np.full((2, 3, 3), t, np.uint8), 8, (3, 2), (3, 2))
    flows = OnDemandFlows(OneByOne(estimator, clip), (3, 2))
    for source, target in [(4, 5), (4, 6), (6, 4), (4, 3), (4, 7), (4, 1), (4, 5), (4, 5)]:
        assert flows.has(source, target)
        assert flows.flow(source, target)[0, 0, 0] == target - source
    assert not flows.has(4, 4)
    assert estimator.starts == [
        (4, 5, None),
        (4, 6, 1.0),
        (6, 4, None),  # another source
        (4, 3, None),  # the other direction
        (4, 7, 2.0),  # the last flow in this direction
        (4, 1, -1.0),
        (4, 5, None),  # the last flow reaches farther: not used
    ]  # the repeated pair is cached
