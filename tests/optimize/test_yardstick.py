"""The fit's error is measured on the same correspondences every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from moments import moment

from omnitrack.optimize.correspondences import Correspondences
from omnitrack.optimize.engine import Engine
from omnitrack.optimize.methods import METHODS
from omnitrack.optimize.yardstick import Yardstick
from omnitrack.settings import FitSettings
from omnitrack.synthetic import two_planes

STILL = replace(METHODS["plain_2d"], losses=lambda field, batch, settings, context: ({}, _distance(field, batch)))


def _distance(shift: torch.Tensor, batch: object) -> torch.Tensor:
    """Return the errors (B,) of the guess that everything moves by `shift`, as if frames were 256 pixels wide."""
    moved = batch.target_pixels[:, 0] - batch.source_pixels - shift  # type: ignore[attr-defined]
    return moved.norm(dim=-1)


def test_the_mean_by_confidence_of_believed_correspondences(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    data = exact_correspondences(two_planes((64, 48), 6), stride=2)
    unit = data.unit_px
    moved = torch.zeros_like(data.displacement)
    moved[..., :24, 0] = round(3 / unit)  # some points by 3 px to the right, with a third of the confidence
    confidence = torch.where(moved[..., 0] > 0, 85, 255).to(torch.uint8)
    confidence[..., 24::2] = 0
    wild = torch.where(confidence > 0, moved[..., 0], 30_000)  # ignored, since it has no confidence
    moved = torch.stack([wild, moved[..., 1]], -1).to(data.displacement.dtype)
    yardstick = Yardstick(replace(data, displacement=moved, confidence=confidence), replace(small_fit, anchors=8192))
    points = confidence.shape[-1]
    three, still = 24 / 3, (points - 24) / 2  # weights of the moving and of the static points
    expected = 3 * three / (three + still)
    found = float(yardstick.error_px(STILL, torch.zeros(2), moment(0.5)))
    assert abs(found - expected) < 0.25 * expected  # a sample of 2048
    assert found == float(yardstick.error_px(STILL, torch.zeros(2), moment(0.5)))


def test_hardly_any_correspondence_is_enough(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    data = exact_correspondences(two_planes((64, 48), 6), stride=2)
    confidence = torch.zeros_like(data.confidence)
    confidence[1, 0, 5] = 255
    few = Yardstick(replace(data, confidence=confidence), small_fit)
    went = float((data.displacement[1, 0, 5] * data.unit_px).norm())
    assert abs(float(few.error_px(STILL, torch.zeros(2), moment(0.0))) - went) < 1e-5


def test_looking_changes_nothing_of_the_fit(
    exact_correspondences: Callable[..., Correspondences], small_fit: FitSettings
) -> None:
    """Another number of reports, and random numbers drawn by others in between, end in the same field."""
    data = exact_correspondences(two_planes((64, 48), 6), stride=2)
    for method in METHODS:
        settings = replace(small_fit, method=method, steps=6)
        plain, watched = Engine(data, settings, 0), Engine(data, settings, 0)
        list(plain.run())
        for _ in watched.run():
            for _ in range(3):
                watched._yardstick.error_px(watched._method, watched.field, moment(0.3, settings))
        ours, theirs = plain.state_dict(), watched.state_dict()
        assert all(torch.equal(value, theirs["field"][name]) for name, value in ours["field"].items())
        assert torch.equal(ours["generator"], theirs["generator"])
