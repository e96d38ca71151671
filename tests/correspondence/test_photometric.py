"""How much two frames differ after a flow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omnitrack.correspondence.photometric import has_lower_error, photometric_error


def test_frames_are_alike_after_the_right_flow_only(clip: NDArray[np.uint8]) -> None:
    right = np.broadcast_to(np.float32([4, 2]), (48, 64, 2))
    inner = (slice(8, -12), slice(8, -14))  # what leaves the frame has no match
    assert photometric_error(clip[0], clip[2], right, 2.0)[inner].max() < 1e-3
    assert photometric_error(clip[0], clip[2], right + np.float32(1), 2.0)[inner].min() > 10
    by_hand = np.square(clip[1].astype(np.float32) - clip[0]).sum(-1)
    still = photometric_error(clip[0], clip[1], np.zeros((48, 64, 2), np.float32), 0.01)
    np.testing.assert_allclose(still, by_hand, rtol=1e-5)


def test_the_right_flow_looks_better_than_a_wrong_one(clip: NDArray[np.uint8]) -> None:
    right = np.broadcast_to(np.float32([4, 2]), (48, 64, 2))
    inner = (slice(8, -12), slice(8, -14))
    assert has_lower_error(clip[0], clip[2], right, right + np.float32(1), 2.0)[inner].all()
    assert not has_lower_error(clip[0], clip[2], right + np.float32(1), right, 2.0)[inner].any()
    assert not has_lower_error(clip[0], clip[2], right, right, 2.0).any(), "the other one stays where they are equal"
