"""Exact correspondences of synthetic scenes, and settings of a small fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from omnitrack.correspondence.raster import grid_shape, inside, pixel_grid
from omnitrack.optimize.correspondences import Correspondences
from omnitrack.settings import CadexSettings, FitSettings, OmniMotionSettings
from omnitrack.synthetic import SyntheticScene

UNIT_PX = 1 / 32
BELIEVED_WHEN_HIDDEN = 2  # frames, as in filtering


def correspondences_of(
    scene: SyntheticScene, stride: int = 2, sources: Sequence[int] | None = None, reach: int | None = None
) -> Correspondences:
    """Return the exact positions of the source frames' grid points (of all frames) in all frames up to `reach` away."""
    grid = pixel_grid(scene.size, stride)
    sources = range(scene.num_frames) if sources is None else sources
    reach = scene.num_frames if reach is None else reach
    all_targets = [[t for t in range(scene.num_frames) if 0 < abs(t - s) <= reach] for s in sources]
    shape = (len(sources), max(map(len, all_targets)), len(grid))
    targets = np.full(shape[:2], -1)
    displacement = np.zeros((*shape, 2), np.int16)
    confidence = np.zeros(shape, np.uint8)
    occluded = np.zeros(shape, bool)
    for s, (source, its_targets) in enumerate(zip(sources, all_targets, strict=True)):
        tracks, visible = scene.tracks(np.column_stack([np.full(len(grid), source), grid]))
        for k, t in enumerate(its_targets):
            targets[s, k] = t
            displacement[s, k] = np.rint((tracks[:, t] - grid) / UNIT_PX)
            occluded[s, k] = (
                ~visible[:, t] & inside(tracks[:, t], scene.size) & (abs(t - source) <= BELIEVED_WHEN_HIDDEN)
            )
            confidence[s, k] = 255 * (visible[:, t] | occluded[s, k])
    return Correspondences.from_numpy(
        sources=np.array(sources),
        targets=targets,
        grid=grid,
        grid_shape=grid_shape(scene.size, stride),
        displacement=displacement,
        confidence=confidence,
        occluded=occluded,
        colors=np.stack([scene.frame(s)[grid[:, 1].astype(int), grid[:, 0].astype(int)] for s in sources]),
        unit_px=UNIT_PX,
        size=scene.size,
        num_frames=scene.num_frames,
        device=torch.device("cpu"),
    )


@pytest.fixture
def exact_correspondences() -> Callable[..., Correspondences]:
    """The function `correspondences_of`."""
    return correspondences_of


@pytest.fixture
def small_fit() -> FitSettings:
    """Settings: fifteen steps of a small field."""
    return FitSettings(
        steps=15,
        anchors=64,
        targets=2,
        regions=4,
        cadex=CadexSettings(
            plane_resolutions=(4, 8), plane_channels=4, time_channels=4, hidden=(8, 8), learning_rate=1e-2
        ),
    )


@pytest.fixture
def tiny_omnimotion() -> OmniMotionSettings:
    """Settings of an OmniMotion field with few parameters."""
    return OmniMotionSettings(
        plane_resolutions=(3, 6),
        plane_channels=4,
        time_channels=2,
        code_width=6,
        hidden=(8, 6),
        two_networks_hidden=(8, 6),
        canonical_hidden=8,
        canonical_layers=2,
        samples=6,
    )


@pytest.fixture(autouse=True)
def reference_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit with the layers in torch, whatever is installed: the end of a short, coarse fit depends on rounding."""
    monkeypatch.setattr("omnitrack.motion.warp.fused", lambda layers, columns: None)
