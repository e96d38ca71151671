"""What `omnitrack plot` and `eval --plot` pass to their stage, and where they write by default."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omnitrack.evaluation.metrics import METRICS
from omnitrack.plotting.figures import INSTALL
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

Cli = Callable[..., tuple[int, str, str]]


def some_tracks(path: Path) -> Path:
    zeros = np.zeros((2, 4), np.float32)
    points = np.zeros((2, 4, 2), np.float32)
    queries = np.zeros((2, 3), np.float32)
    save_tracks(Tracks(queries, points, zeros == 0, zeros, zeros, np.arange(4), (128, 96), 0.0), path)
    return path


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of the stage, which draws nothing."""
    calls: list[tuple[Any, ...]] = []
    for name in ("plot_tracks", "plot_losses", "plot_results"):
        monkeypatch.setattr(
            f"omnitrack.stages.plot.{name}", lambda *words, name=name: calls.append((name, *words)) or {"output": "a"}
        )
    return calls


def test_the_last_query_of_a_project(cli: Cli, project: Path, drawn: list[Any]) -> None:
    some_tracks(project / "tracks" / "tracks.npz")
    assert cli("plot", str(project))[0] == 0
    name, tracks, plot, output, scale, labels = drawn[0]
    assert (name, plot, output, labels) == ("plot_tracks", "tracks", project / "plots" / "tracks.png", None)
    assert (len(tracks), scale.per_px, scale.unit, tracks.fps) == (2, 1.0, "px", 25.0)


def test_a_file_of_tracks_needs_no_project(cli: Cli, drawn: list[Any], tmp_path: Path) -> None:
    path = some_tracks(tmp_path / "cells.csv")
    words = ["--of", "speed", "--scale", "0.65", "--unit", "nm", "--labels", "names.csv"]
    assert cli("plot", "--tracks", str(path), *words)[0] == 0
    _, tracks, plot, output, scale, labels = drawn[0]
    assert (plot, output, labels) == ("speed", tmp_path / "cells-speed.png", "names.csv")
    assert (scale.per_px, scale.unit, tracks.fps) == (0.65, "nm", 0.0)


def test_a_project_says_the_rate_that_a_csv_does_not(cli: Cli, project: Path, drawn: list[Any], tmp_path: Path) -> None:
    assert cli("plot", str(project), "--tracks", str(some_tracks(tmp_path / "a.csv")), "-o", "b.svg")[0] == 0
    assert (drawn[0][1].fps, drawn[0][3]) == (25.0, Path("b.svg"))


def test_losses(cli: Cli, project: Path, drawn: list[Any]) -> None:
    assert cli("plot", str(project), "--of", "losses")[0] == 0
    assert (drawn[0][0], drawn[0][1].root, drawn[0][2]) == ("plot_losses", project, project / "plots" / "losses.png")


def test_results(cli: Cli, drawn: list[Any], tmp_path: Path) -> None:
    scores = dict.fromkeys(METRICS, 0.5)
    results = {"methods": {"a": {"mean": scores, "videos": {"goat": scores}}}}
    (tmp_path / "r.json").write_text(json.dumps(results))
    assert cli("plot", "--results", str(tmp_path / "r.json"))[0] == 0
    assert drawn[0] == ("plot_results", results, tmp_path / "r-eval.png")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--of", "eval"], 2, "--of eval needs --results FILE"),
        (["--unit", "um"], 2, "--unit um needs the length of a pixel in it"),
        (["--results", "r.json", "--of", "losses"], 2, "--results is for --of eval, not for --of losses"),
        (["--labels", "n.csv", "--of", "losses"], 2, "--labels is for --of tracks, speed, confidence, not for --of l"),
        (["--scale", "2", "--results", "r.json"], 2, "--scale is for --of tracks, speed, confidence, not for --of e"),
        (["--of", "spede"], 2, "did you mean speed?"),
        (["--results", "nowhere.json"], 1, "there are no results at nowhere.json"),
        (["--tracks", "nowhere.npz"], 1, "there are no tracks at nowhere.npz"),
    ],
)
def test_what_is_refused(cli: Cli, words: list[str], status: int, message: str) -> None:
    found, out, err = cli("plot", *words)
    assert (found, out) == (status, "")
    assert message in err and "hint: " in err


def test_without_matplotlib(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("omnitrack.plotting.figures.find_spec", lambda name: None)
    path = some_tracks(tmp_path / "a.npz")
    status, _, err = cli("plot", "--tracks", str(path))
    assert (status, err) == (
        1,
        f"error: plots need matplotlib, which is not installed\n\nhint: install it: {INSTALL}\n",
    )
    # fails before the work, not after it
    status, _, err = cli("eval", str(tmp_path / "no.pkl"), "--plot", str(tmp_path / "a.png"))
    assert status == 1 and "plots need matplotlib" in err


def test_eval_draws_its_results(cli: Cli, drawn: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from omnitrack.stages.evaluate import EvalReport

    results = {"dataset": "toy", "query_mode": "first", "resolution": "native", "methods": {}}
    monkeypatch.setattr("omnitrack.evaluation.tapvid.load_tapvid", lambda *_: [])
    monkeypatch.setattr("omnitrack.stages.evaluate.evaluate", lambda *_, **__: EvalReport(results, 1, 1, None, 0.0))
    monkeypatch.setattr("omnitrack.cli.session.Session.table", lambda self, results: None)
    status, _, err = cli("eval", "toy.pkl", "--plot", str(tmp_path / "a.pdf"))
    assert status == 0
    assert drawn == [("plot_results", results, tmp_path / "a.pdf")]
    assert f"plot: {tmp_path / 'a.pdf'}" in err
