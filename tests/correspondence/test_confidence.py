"""Confidence: a probability, checked by hand, that grows with every cue; texture of known patches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omnitrack.correspondence.appearance import PATCH_SIDE, Patches
from omnitrack.correspondence.confidence import LIKENESS_RANGE, WEIGHTS, Cues, calibrated_confidence

SURE = {"chain": 1.0, "agreement": 1.0, "likeness": 0.75, "texture": 20.0, "visible": True}
UNSURE = {"chain": 0.0, "agreement": 0.0, "likeness": -1.0, "texture": 0.0, "visible": False}


def confidence(**values: float) -> float:
    return float(calibrated_confidence(Cues(**{name: np.array([[value]]) for name, value in values.items()}))[0, 0])


def test_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand = {"base": -2.0, "chain": 1.5, "agreement": 1.0, "likeness": 2.0, "texture": 0.25, "seen": 0.75}
    assert list(WEIGHTS) == list(by_hand)
    monkeypatch.setattr("omnitrack.correspondence.confidence.WEIGHTS", by_hand)
    hidden = -2.0 + 1.5 * 0.5 + 1.0 * 0.25 + 2.0 * -0.5 + 0.25 * 3  # 3 is the root of 9
    given = {"chain": 0.5, "agreement": 0.25, "likeness": -0.5, "texture": 9.0}
    assert confidence(**given, visible=False) == pytest.approx(1 / (1 + math.exp(-hidden)), rel=1e-5)
    assert confidence(**given, visible=True) == pytest.approx(1 / (1 + math.exp(-hidden - 0.75)), rel=1e-5)


def test_every_cue_counts() -> None:
    for name, more in SURE.items():
        assert confidence(**UNSURE) < confidence(**{**UNSURE, name: more}), name
        assert confidence(**{**SURE, name: UNSURE[name]}) < confidence(**SURE), name


def test_it_agrees_with_what_is_called_seen() -> None:
    assert confidence(**{**SURE, "visible": False}) == 0.5
    assert confidence(**{**UNSURE, "visible": True}) > 0.02


def test_no_likeness_is_more_than_the_range_that_was_fitted() -> None:
    low, high = LIKENESS_RANGE
    assert confidence(**{**SURE, "likeness": high + 1}) == confidence(**{**SURE, "likeness": high})
    assert confidence(**{**SURE, "likeness": low - 1}) == confidence(**{**SURE, "likeness": low})


def test_texture_is_what_varies_in_both_directions() -> None:
    rows, columns = np.mgrid[:PATCH_SIDE, :PATCH_SIDE]
    flat, edge, slope = np.zeros((5, 5)), 10.0 * columns, 10.0 * columns + 10.0 * rows
    board = 10.0 * ((rows + columns) % 2)
    patches = np.stack([np.repeat(p[..., None], 3, -1).ravel() for p in (flat, edge, slope, board)])
    found = Patches.of(patches.astype(np.uint8)).texture()
    assert found[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-2)  # an edge constrains one direction only
    bumps = np.repeat((10.0 * (rows % 2) + 10.0 * ((columns // 2) % 2))[..., None], 3, -1).ravel()
    assert Patches.of(bumps[None].astype(np.uint8)).texture()[0] > 5
