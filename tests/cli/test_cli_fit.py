"""What `omnitrack fit --pins` passes to its stage, and where the pins come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

Cli = Callable[..., tuple[int, str, str]]
PAIR = [[1.0, 10.0, 20.0, 3.0, 12.0, 22.0]]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, Any]]:
    """For each fit, whether it resumed, and its pins; nothing is fitted."""
    calls: list[tuple[bool, Any]] = []

    def fit(project: Any, settings: Any, device: str, seed: int, resume: bool, progress: Any, pins: Any) -> Any:
        calls.append((resume, None if pins is None else pins.tolist()))
        return {"method": "cadex"}

    monkeypatch.setattr("omnitrack.stages.fit.fit_field", fit)
    return calls


def test_pins_of_a_file_of_tracks(cli: Cli, project: Path, fits: list[Any], tmp_path: Path) -> None:
    ones = np.ones((1, 4), np.float32)
    points, pins = np.zeros((1, 4, 2), np.float32), np.array([[0, 3, 12, 22]], np.float32)
    queries = np.array([[1, 10, 20]], np.float32)
    tracks = Tracks(queries, points, ones > 0, ones, ones, np.arange(4), (128, 96), 25.0, pins=pins)
    save_tracks(tracks, tmp_path / "a.npz")
    assert cli("fit", str(project), "--resume", "--pins", str(tmp_path / "a.npz"))[0] == 0
    assert cli("fit", str(project))[0] == 0
    assert fits == [(True, PAIR), (False, None)]


def test_pins_of_the_page(cli: Cli, project: Path, fits: list[Any]) -> None:
    status, _, said = cli("fit", str(project), "--resume", "--pins", "view")
    assert status == 1 and "there are no pins in the page of" in said and "hint:" in said
    point = {"name": "a", "group": "", "t": 1, "x": 10, "y": 20, "pins": [[3, 12, 22]]}
    (project / "view.json").write_text(json.dumps({"omnitrack_view": 1, "points": [point]}))
    assert cli("fit", str(project), "--resume", "--pins", "view")[0] == 0
    assert fits == [(True, PAIR)]


def test_a_file_that_is_not_there(cli: Cli, project: Path, fits: list[Any], tmp_path: Path) -> None:
    status, _, said = cli("fit", str(project), "--pins", str(tmp_path / "no.npz"))
    assert status == 1 and "no.npz" in said.replace("\n", "") and "hint:" in said and not fits
