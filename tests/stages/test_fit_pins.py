"""Pins in a fit: which pairs of positions they are, and that a fit goes through them and is resumed exactly."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnitrack.errors import OmnitrackError
from omnitrack.optimize import engine
from omnitrack.progress import Progress, Task
from omnitrack.project.checkpoint import load_checkpoint
from omnitrack.project.frames_meta import write_meta
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.bring_up import missing_for
from omnitrack.stages.fit import fit_field, pins_of_fit
from omnitrack.stages.fit_pins import as_input, from_stamp, pairs_of_pins, read_pins
from omnitrack.stages.graph import Work
from omnitrack.stages.info import inspect_project
from omnitrack.stages.tracker import Tracker
from omnitrack.tracks.files import save_tracks
from omnitrack.tracks.tracks import Tracks

REPORT_EVERY = 10
PLACE = np.array([52.0, 38.0])  # on the ground, far from the disc and the pole


@pytest.fixture(autouse=True)
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "REPORT_EVERY", REPORT_EVERY)


@pytest.fixture(scope="module")
def settings(small_settings: Settings) -> Settings:
    """Settings of a field that has enough steps to follow the clip, and is queried without fusion."""
    fit = replace(small_settings.fit, steps=80, pin_share=0.75)
    return replace(small_settings, fit=fit, query=replace(small_settings.query, fuse=False))


@pytest.fixture(scope="module")
def fitted_root(tmp_path_factory: pytest.TempPathFactory, filtered_root: Path, settings: Settings) -> Path:
    root = Path(shutil.copytree(filtered_root, tmp_path_factory.mktemp("unpinned") / "clip"))
    fit_field(Project(root), settings, "cpu")
    return root


@pytest.fixture
def fitted(fitted_root: Path, tmp_path: Path) -> Project:
    return Project(shutil.copytree(fitted_root, tmp_path / "clip"))


@pytest.fixture(scope="module")
def grid() -> np.ndarray:
    """The pinned point, and others all over the first frame."""
    xs, ys = np.meshgrid(np.arange(6, 64, 8), np.arange(6, 48, 8))
    others = np.column_stack([xs.ravel(), ys.ravel()])
    return np.column_stack([np.zeros(len(others) + 1), np.concatenate([PLACE[None], others])]).astype(np.float32)


def field_alone(project: Project, settings: Settings, queries: np.ndarray) -> np.ndarray:
    """Return (N, T, 2), the positions according to the field alone."""
    with Tracker(project, settings, "cpu", fitted=True) as tracker:
        return tracker.query(queries).tracks


def corrected(project: Project, settings: Settings, queries: np.ndarray) -> Tracks:
    """Return tracks, the first of which is pinned in frame 6, five pixels from the field's position."""
    with Tracker(project, settings, "cpu", fitted=True) as tracker:
        place = tracker.query(queries[:1]).tracks[0, 6] + (4, 3)
        return tracker.query(queries, pins=[(0, 6, *place)])


def test_a_pin_moves_the_field_where_it_is_and_nowhere_else(
    fitted: Project, settings: Settings, grid: np.ndarray, tmp_path: Path
) -> None:
    before, tracks = field_alone(fitted, settings, grid), corrected(fitted, settings, grid)
    save_tracks(tracks, tmp_path / "corrected.npz")
    report = fit_field(fitted, settings, "cpu", resume=True, pins=read_pins(fitted, tmp_path / "corrected.npz"))
    assert (report.resumed_from, report.steps) == (20, 80)
    after = field_alone(fitted, settings, grid)
    assert np.linalg.norm(before[0, 6] - tracks.pins[0, 2:]) == pytest.approx(5, abs=0.01)
    assert np.linalg.norm(after[0, 6] - tracks.pins[0, 2:]) < 2
    far = np.linalg.norm(grid[:, 1:] - PLACE, axis=1) > 24
    assert far.sum() > 20
    assert np.median(np.linalg.norm(after - before, axis=-1)[far]) < 1


class Stopping(Progress, Task):
    """Presses Ctrl-C at a report."""

    def __init__(self, looks: int) -> None:
        self.looks, self.notes = looks, list[str]()

    def note(self, text: str) -> None:
        self.notes.append(text)

    def task(self, name: str, total: int, done: int = 0, unit: str = "steps") -> Task:
        return self

    def advance(self, steps: int = 1, **values: float | str) -> None:
        self.looks -= 1
        if not self.looks:
            raise KeyboardInterrupt


@pytest.mark.parametrize("named_again", [True, False])
def test_a_fit_to_pins_is_resumed_exactly(
    fitted: Project, settings: Settings, grid: np.ndarray, tmp_path: Path, named_again: bool
) -> None:
    pins = read_pins(fitted, corrected(fitted, settings, grid[:1]))
    whole = Project(shutil.copytree(fitted.root, tmp_path / "whole"))
    fit_field(whole, settings, "cpu", resume=True, pins=pins)
    stopping = Stopping(2)
    with pytest.raises(KeyboardInterrupt):
        fit_field(fitted, settings, "cpu", resume=True, progress=stopping, pins=pins)
    assert stopping.notes[0] == "fitting to the pins from step 20 on" and load_checkpoint(fitted).state["step"] == 40
    report = fit_field(fitted, settings, "cpu", resume=True, pins=pins if named_again else None)
    assert report.resumed_from == 40
    ours, theirs = load_checkpoint(fitted), load_checkpoint(whole)
    assert ours.stamp == theirs.stamp
    for name, value in ours.state["field"].items():
        assert torch.equal(value, theirs.state["field"][name]), name
    assert torch.equal(ours.state["generator"], theirs.state["generator"])


def test_pins_belong_to_the_fit_until_it_begins_without_them(
    fitted: Project, settings: Settings, grid: np.ndarray
) -> None:
    without = load_checkpoint(fitted).stamp
    assert "pins" not in without["inputs"] and not any(name.startswith("pin_") for name in without["settings"])
    pins = read_pins(fitted, corrected(fitted, settings, grid[:1]))
    fit_field(fitted, settings, "cpu", resume=True, pins=pins)
    assert as_input(pins) == load_checkpoint(fitted).stamp["inputs"]["pins"]
    np.testing.assert_array_equal(pins_of_fit(fitted), pins)
    assert "fit" not in missing_for("fit", Work(fitted, settings, "cpu"))  # `run` keeps it
    (product,) = [product for product in inspect_project(fitted).products if product.name == "fit"]
    assert product.note == "fitted to 1 pair of places set by hand, too" and "pin" not in product.reason
    assert fit_field(fitted, settings, "cpu", resume=True).resumed_from == settings.fit.steps
    short = replace(settings, fit=replace(settings.fit, steps=10))
    fit_field(fitted, short, "cpu")
    assert pins_of_fit(fitted) is None


def test_pairs_are_from_the_query_to_each_pin_and_from_place_to_place(fitted: Project) -> None:
    queries = [(3, 10, 10), (0, 5, 6)]
    rows = pairs_of_pins(fitted, queries, [(0, 5, 12, 11), (0, 1, 8, 9), (0, 7, 14, 12)], "a file")
    assert rows.tolist() == [
        [1, 8, 9, 3, 10, 10],
        [3, 10, 10, 5, 12, 11],
        [3, 10, 10, 7, 14, 12],
        [5, 12, 11, 7, 14, 12],
    ]


def test_pins_over_a_cut_are_no_pairs(fitted: Project) -> None:
    write_meta(fitted.frames_dir, replace(fitted.meta, cuts=[4]))
    project = Project(fitted.root)
    rows = pairs_of_pins(project, [(3, 10, 10)], [(0, 1, 8, 9), (0, 5, 12, 11)], "a file")
    assert rows.tolist() == [[1, 8, 9, 3, 10, 10]]
    with pytest.raises(OmnitrackError, match="the pins in a file are in other shots than their points"):
        pairs_of_pins(project, [(3, 10, 10)], [(0, 5, 12, 11)], "a file")


def test_what_is_no_pin_is_named(fitted: Project, settings: Settings, grid: np.ndarray, tmp_path: Path) -> None:
    tracks = corrected(fitted, settings, grid[:1])
    wrong = {
        "there are no pins in the tracks": replace(tracks, pins=tracks.pins[:0]),
        r"pin 0 at \(99, 3\) is outside the video": replace(tracks, pins=np.array([[0, 6, 99, 3]], np.float32)),
        "pin 0 is in frame 9": replace(tracks, pins=np.array([[0, 9, 9, 3]], np.float32)),
        "the tracks cannot be of the video of project": replace(tracks, size=(640, 480)),
    }
    for message, given in wrong.items():
        with pytest.raises(OmnitrackError, match=message) as caught:
            read_pins(fitted, given)
        assert caught.value.hint
    (tmp_path / "a.csv").write_text("name,age\n")
    with pytest.raises(OmnitrackError, match=r"a\.csv"):
        read_pins(fitted, tmp_path / "a.csv")


@pytest.mark.parametrize("text", ["", "[", "[[1,2]]", "[[0,1,1,99,1,1]]", "[[0,1,1,NaN,1,1]]", "{}", "[]", 7, None])
def test_pins_of_a_stamp_that_make_no_sense_are_none(fitted: Project, text: object) -> None:
    assert from_stamp(fitted, {"inputs": {"pins": text}}) is None
