"""A clip's description, and settings of a depth source."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from omnitrack.depth_prior.contract import DepthClip
from omnitrack.settings import DepthSettings

SIZE, FRAMES = (64, 48), 3


@pytest.fixture
def clip() -> DepthClip:
    """Three frames of 64 x 48, with the indices 2, 4 and 6 in the video."""
    return DepthClip(FRAMES, SIZE, [2, 4, 6])


@pytest.fixture
def frame() -> NDArray[np.uint8]:
    """(48, 64, 3) uint8 RGB."""
    return np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)


@pytest.fixture
def source_of() -> Callable[..., DepthSettings]:
    """Return `DepthSettings` of a source, with changes."""

    def made(source: str, path: object, **changes: Any) -> DepthSettings:
        return DepthSettings(source=source, path=str(path), **changes)

    return made
