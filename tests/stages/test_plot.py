"""`plot` of projects and files: what it writes where, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from omnitrack.errors import OmnitrackError
from omnitrack.evaluation.metrics import METRICS
from omnitrack.evaluation.results import read_results
from omnitrack.plotting import tracks as track_plots
from omnitrack.plotting.tracks import PIXELS, Scale
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.fit import fit_field
from omnitrack.stages.plot import plot_losses, plot_results, plot_tracks, scale_of
from omnitrack.stages.plot_kinds import TRACK_PLOTS
from omnitrack.tracks.tracks import Tracks

pytest.importorskip("matplotlib")


def still(count: int, length: int = 3) -> Tracks:
    zeros = np.zeros((count, length), np.float32)
    points = np.zeros((count, length, 2), np.float32)
    return Tracks(np.zeros((count, 3), np.float32), points, zeros == 0, zeros, zeros, np.arange(length), (64, 48), 0.0)


@pytest.mark.parametrize("plot", TRACK_PLOTS)
@pytest.mark.parametrize(("count", "length"), [(1, 1), (7, 3), (9, 2)])
def test_every_plot_of_any_number_of_tracks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plot: str, count: int, length: int
) -> None:
    monkeypatch.setattr(track_plots, "MOST_PANELS", 8)  # a page of 60 takes 10 seconds
    report = plot_tracks(still(count, length), plot, tmp_path / "a.svg")
    assert (report.plot, report.output) == (plot, str(tmp_path / "a.svg"))
    assert (tmp_path / "a.svg").read_text().count("<path") > 10


def test_names_are_labels_and_numbers_where_they_are_shared(tmp_path: Path) -> None:
    (tmp_path / "names.csv").write_text("track,label\n0,nucleus\n1,cell\n2,cell\n")
    plot_tracks(still(4), "speed", tmp_path / "a.svg", labels=str(tmp_path / "names.csv"))
    text = (tmp_path / "a.svg").read_text()
    assert [name in text for name in ("nucleus", "cell 1", "cell 2", "track 3", "nucleus 0")] == [True] * 4 + [False]


def test_a_notebook_shows_the_same_diagram(tmp_path: Path) -> None:
    diagram = still(2).plot("speed", scale=0.65)
    assert diagram._repr_png_().startswith(b"\x89PNG")
    diagram.save(tmp_path / "a.svg")
    plot_tracks(still(2), "speed", tmp_path / "b.svg", Scale(0.65, "um"))
    assert diagram.figure.axes[0].get_ylabel() == "speed (um/frame)"
    assert (tmp_path / "a.svg").read_text().count("<path") == (tmp_path / "b.svg").read_text().count("<path")
    with pytest.raises(OmnitrackError, match="there is no plot 'losses' of tracks"):
        still(2).plot("losses")


def test_what_lengths_are_told_in() -> None:
    assert scale_of(None, None) == PIXELS == Scale(1.0, "px")
    assert scale_of(0.65, None) == Scale(0.65, "um")
    assert scale_of(2.0, "mm") == Scale(2.0, "mm")


@pytest.mark.parametrize("per_px", [0.0, -1.0, float("nan"), float("inf")])
def test_scales_that_are_none(tmp_path: Path, per_px: float) -> None:
    with pytest.raises(OmnitrackError, match="per pixel is not a scale"):
        plot_tracks(still(1), "speed", tmp_path / "a.png", Scale(per_px, "um"))


def test_no_tracks(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="no tracks to draw") as caught:
        plot_tracks(still(0), "speed", tmp_path / "a.png")
    assert "omnitrack query" in str(caught.value.hint)
    assert not (tmp_path / "a.png").exists()


def test_the_losses_of_a_fit(filtered_project: Project, small_settings: Settings) -> None:
    output = filtered_project.plots_dir / "losses.png"
    with pytest.raises(OmnitrackError, match="has no record of a fit") as caught:
        plot_losses(filtered_project, output)
    assert caught.value.hint == f"fit one: omnitrack fit {filtered_project.root}"
    fit_field(filtered_project, small_settings, "cpu")
    with filtered_project.metrics_path.open("a") as file:
        file.write('nonsense\n[1]\n{"step": 5}\n{"step": 9, "losses": 3, "error_px": 1}\n{"step": 30, "lo')
    assert plot_losses(filtered_project, output).plot == "losses"
    assert output.is_file()


# --- results of an evaluation -------------------------------------------------------------------------------------
def evaluation() -> dict:
    scores = dict.fromkeys(METRICS, 0.5)
    videos = {"goat": {**scores, "seconds": {"fit": 3.0}}, "dog": dict.fromkeys(METRICS)}
    return {"dataset": "toy", "methods": {"cadex": {"mean": scores, "videos": videos}}}


def test_results_of_an_evaluation(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps(evaluation()))
    found = read_results(tmp_path / "results.json")
    assert found == evaluation()
    assert plot_results(found, tmp_path / "a.pdf").plot == "eval"
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[" * 100_000,
        "3",
        "{}",
        '{"methods": {}}',
        '{"methods": {"a": {"mean": {}, "videos": {}}}}',
        json.dumps(evaluation()).replace("0.5", "NaN", 1),
        json.dumps(evaluation()).replace("0.5", '"half"', 1),
        json.dumps(evaluation()).replace('"mean"', '"man"'),
        json.dumps(evaluation()).replace('"jaccard_4": null', '"jaccard_5": null'),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(OmnitrackError, match=r"is damaged|holds no results") as caught:
        read_results(tmp_path / "results.json")
    assert "omnitrack eval DATASET" in str(caught.value.hint)


def test_results_that_are_not_there_or_far_too_long(tmp_path: Path) -> None:
    with pytest.raises(OmnitrackError, match="there are no results at"):
        read_results(tmp_path / "results.json")
    with (tmp_path / "results.json").open("wb") as file:
        file.truncate(2**24 + 1)
    with pytest.raises(OmnitrackError, match="it is no file of results"):
        read_results(tmp_path / "results.json")
