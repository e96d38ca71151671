"""What `MotionField.track` guarantees for any number of points and frames, including none, with every method."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omnitrack.motion.ablation_models import PlanarField
from omnitrack.motion.cadex import CadexField
from omnitrack.motion.field import MotionField
from omnitrack.motion.geometry import Camera
from omnitrack.motion.omnimotion import OmniMotionField
from omnitrack.optimize import cadex, omnimotion, plain_2d
from omnitrack.settings import CadexSettings, OmniMotionSettings, Plain2dSettings

WIDTH, HEIGHT = 10, 6
CAMERA = Camera((WIDTH, HEIGHT))
STEPS_PX = (0, 2, 5, 3)  # x shift of each frame
SMALL = {"plane_resolutions": (2,), "plane_channels": 4, "time_channels": 2, "hidden": (4,)}
OMNIMOTION = {"canonical_hidden": 4, "canonical_layers": 1, "samples": 3}


def shifts() -> torch.Tensor:
    """Frame to canonical: five pixels are one local unit."""
    maps = torch.eye(2, 3).repeat(len(STEPS_PX), 1, 1)
    maps[:, 0, 2] = -torch.tensor(STEPS_PX) / 5
    return maps


def build(kind: type) -> MotionField:
    """Return an initial field, which moves everything with the camera."""
    if kind is CadexField:
        depth = torch.ones(len(STEPS_PX), HEIGHT, WIDTH)
        return cadex.assemble(CAMERA, shifts(), depth, CadexSettings(**SMALL))
    if kind is PlanarField:
        return plain_2d.assemble(CAMERA, len(STEPS_PX), Plain2dSettings(hidden=(4,), time_channels=2))
    return omnimotion.assemble(CAMERA, shifts(), OmniMotionSettings(**SMALL, **OMNIMOTION))


@pytest.mark.parametrize("targets", [[], [2], [3, 0, 1]], ids=len)
@pytest.mark.parametrize("count", [0, 4])
@pytest.mark.parametrize("kind", [CadexField, OmniMotionField, PlanarField])
def test_tracks_have_a_row_a_point_and_a_column_a_frame(kind: type, count: int, targets: list[int]) -> None:
    field = build(kind)
    assert type(field) is kind
    pixels = np.array([[0, 0], [1, 3], [2, 4], [4, 5]], np.float32)[:count]
    found = field.track(1, pixels, targets)
    assert (found.pixels.shape, found.pixels.dtype) == ((count, len(targets), 2), np.float32)
    assert (found.depth.shape, found.depth.dtype) == ((count, len(targets)), np.float32)
    assert (found.visible.shape, found.visible.dtype) == ((count, len(targets)), np.bool_)
    if kind is not PlanarField:  # which does not model the camera
        for column, target in enumerate(targets):
            moved = pixels + np.array([STEPS_PX[target] - STEPS_PX[1], 0])
            np.testing.assert_allclose(found.pixels[:, column], moved, atol=1e-4)
