"""Confidence: a probability, by hand, that grows with every cue; texture from known patches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omnitrack.correspondence.appearance import PATCH_SIDE, PatchSimilarity
from omnitrack.correspondence.confidence import calibrated_confidence


def confidence(chain: float, agreed: float, alike: float, texture: float, seen: bool) -> float:
    values = [np.float32([[value]]) for value in (chain, agreed, alike, texture)]
    return float(calibrated_confidence(values[0], values[1], values[2], values[3], np.array([[seen]]))[0, 0])


def test_by_hand() -> None:
    hidden = -2.583 + 2.285 * 0.5 + 1.251 * 0.25 + 0.952 * -0.5
    seen = hidden - 0.632 + 0.533 * 2 + 0.526 * 0.5 + 1.004 * 0.25
    assert confidence(0.5, 0.25, -0.5, 3.0, False) == pytest.approx(1 / (1 + math.exp(-hidden)), rel=1e-5)
    assert confidence(0.5, 0.25, -0.5, 3.0, True) == pytest.approx(1 / (1 + math.exp(-seen)), rel=1e-5)


def test_every_cue_counts_and_a_seen_point_is_never_impossible() -> None:
    base = (0.5, 0.5, 0.0, 4.0, True)
    for cue, (low, high) in enumerate([(0.0, 1.0), (0.0, 1.0), (-0.5, 0.5), (0.0, 30.0)]):
        less, more = ([*base[:cue], value, *base[cue + 1 :]] for value in (low, high))
        assert confidence(*less) < confidence(*base) < confidence(*more)  # type: ignore[arg-type]
    assert confidence(0, 0, -1, 0, True) > 0.01
    assert confidence(1, 1, 0.7, 20, True) > 0.98
    assert confidence(1, 1, 0.7, 0, True) < 0.97  # a blank wall


def test_texture_is_what_varies_in_both_directions() -> None:
    compare = PatchSimilarity((256, 256))
    rows, columns = np.mgrid[:PATCH_SIDE, :PATCH_SIDE]
    flat, edge, slope = np.zeros((5, 5)), 10.0 * columns, 10.0 * columns + 10.0 * rows
    board = 10.0 * ((rows + columns) % 2)
    patches = np.stack([np.repeat(p[..., None], 3, -1).ravel() for p in (flat, edge, slope, board)])
    found = compare.texture(patches.astype(np.float32))
    assert found[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-2)  # an edge tells one direction only
    bumps = np.repeat((10.0 * (rows % 2) + 10.0 * ((columns // 2) % 2))[..., None], 3, -1).ravel()
    assert compare.texture(bumps[None].astype(np.float32))[0] > 5
