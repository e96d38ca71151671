"""Two straight tracks, one of them occluded in one frame, on which every format is tested."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.tracks.tracks import Tracks


def straight_tracks() -> Tracks:
    """Two points of a video of 100 x 50 pixels and 10 frames/s, in frames 5 to 8.

    The first moves by (3, 4) per frame from (10, 20) and is always visible; the second by (0, 1) from (0, 0), and is
    occluded in frame 7.
    """
    steps = np.arange(4)[:, None]
    points = np.stack([np.array([10, 20]) + steps * [3, 4], steps * [0, 1]]).astype(np.float32)
    visible = np.array([[1, 1, 1, 1], [1, 1, 0, 1]], bool)
    queries = np.array([[5, 10, 20], [6, 0, 1]], np.float32)
    confidence = np.array([[1, 0.75, 0.5, 0.25], [1, 1, 0.125, 1]], np.float32)
    depth = np.ones((2, 4), np.float32)
    return Tracks(queries, points, visible, confidence, depth, np.arange(5, 9), (100, 50), 10.0)


@pytest.fixture(name="straight_tracks")
def straight_tracks_fixture() -> Tracks:
    """The result of `straight_tracks`."""
    return straight_tracks()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Save `straight_tracks` and return the path: saved("a.nk", "nuke", hidden="drop")."""

    def save(name: str, format: str | None = None, **options: Any) -> Path:
        straight_tracks().save(tmp_path / name, format, **options)
        return tmp_path / name

    return save


@pytest.fixture
def reader() -> Callable[[str], Any]:
    """Import another program's reader, or skip the test."""

    def load(name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} is not installed: {error}")

    return load
