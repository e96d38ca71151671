"""A small clip with exact ground truth, as projects at every stage: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from leavings import PLAIN_FLOW

from omnitrack.config import load_settings
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.filter import filter_flow
from omnitrack.stages.flow import compute_flow
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import SyntheticScene, occluder_scene

SMALL = {
    "flow.workers": 1,
    **PLAIN_FLOW,
    "filter.grid_points": 800,
    "filter.found_again": False,
    "fit.steps": 15,
    "fit.anchors": 64,
    "fit.targets": 2,
    "fit.regions": 4,
    "fit.cadex.plane_resolutions": [4, 8],
    "fit.cadex.plane_channels": 4,
    "fit.cadex.time_channels": 4,
    "fit.cadex.hidden": [8, 8],
    "fit.omnimotion.plane_resolutions": [4, 8],
    "fit.omnimotion.plane_channels": 4,
    "fit.omnimotion.time_channels": 4,
    "fit.omnimotion.hidden": [8, 8],
    "fit.omnimotion.canonical_hidden": 16,
    "fit.omnimotion.samples": 6,
}


@pytest.fixture(scope="session")
def small_settings() -> Settings:
    """Settings that run every stage in a second."""
    return load_settings(overrides=SMALL)


@pytest.fixture(scope="session")
def scene() -> SyntheticScene:
    """A disc passes behind a pole: 8 frames of 64 x 48."""
    return occluder_scene((64, 48), 8, speed=3.0)


@pytest.fixture(scope="session")
def matched_root(tmp_path_factory: pytest.TempPathFactory, scene: SyntheticScene, small_settings: Settings) -> Path:
    root = tmp_path_factory.mktemp("matched") / "clip"
    init_from_frames(scene.frames(), root, small_settings, 12.0, "scene")
    compute_flow(Project(root), small_settings)
    return root


@pytest.fixture(scope="session")
def filtered_root(tmp_path_factory: pytest.TempPathFactory, matched_root: Path, small_settings: Settings) -> Path:
    root = tmp_path_factory.mktemp("filtered") / "clip"
    shutil.copytree(matched_root, root)
    filter_flow(Project(root), small_settings)
    return root


@pytest.fixture
def matched_project(matched_root: Path, tmp_path: Path) -> Project:
    """The clip with its flow."""
    return Project(shutil.copytree(matched_root, tmp_path / "matched"))


@pytest.fixture
def filtered_project(filtered_root: Path, tmp_path: Path) -> Project:
    """The clip with its flow and filtered correspondences."""
    return Project(shutil.copytree(filtered_root, tmp_path / "filtered"))
