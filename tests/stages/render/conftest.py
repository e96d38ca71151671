"""A scene whose field is known exactly, as a project without correspondences: all that rendering needs."""

from __future__ import annotations

import pytest

from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.init import init_from_frames
from omnitrack.synthetic import SyntheticScene, occluder_scene


@pytest.fixture(scope="session")
def scene() -> SyntheticScene:
    """A disc of radius 12.8 about (38 + 4 t, 32) passes behind a pole, x from 42.7 to 53.3; the rest is static."""
    return occluder_scene((96, 64), num_frames=6)


@pytest.fixture(scope="module")
def project(scene: SyntheticScene, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One project per module: renders of a test stay in it."""
    root = tmp_path_factory.mktemp("render") / "project"
    init_from_frames(scene.frames(), root, Settings(), 12.0, "occluder")
    return Project(root)
