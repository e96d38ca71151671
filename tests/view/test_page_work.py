"""The background work of the page, in its own process."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_client import SETTINGS

from omnitrack.config import load_settings
from omnitrack.project.lock import locked
from omnitrack.project.project import Project
from omnitrack.settings import Settings
from omnitrack.stages.tracker import Tracker
from omnitrack.view.answers import Answers
from omnitrack.view.live import Live, Messages
from omnitrack.view.points import Point, PointList, as_rows
from omnitrack.view.work import BUSY, DONE, FAILED, KEPT, STOPPED, WORKING, BackgroundWork, Standing

SECONDS = 120.0  # seconds allowed on a busy machine


@pytest.fixture
def young(bare_root: Path, tmp_path: Path) -> Path:
    """A project with frames only."""
    return Path(shutil.copytree(bare_root, tmp_path / "young"))


def begin(root: Path, settings: Settings, target: str = "flow") -> BackgroundWork:
    """Start work on a project."""
    return BackgroundWork(root, settings, "cpu", 0, target)


def heard(work: BackgroundWork, until: Callable[[Standing], bool] = lambda s: s.phase != WORKING) -> list[Standing]:
    """Return everything that the work reports until then."""
    found = [work.standing]
    end = time.monotonic() + SECONDS
    while not until(found[-1]):
        assert time.monotonic() < end, found
        if work.hear() != found[-1]:
            found.append(work.standing)
        time.sleep(0.01)
    return found


def test_what_is_missing_is_made(young: Path, view_settings: Settings) -> None:
    work = begin(young, view_settings)
    standings = heard(work)
    work.stop()
    assert standings[-1] == Standing(DONE)
    flow = [standing for standing in standings if standing.task == "flow"]
    assert flow and flow[-1].done == flow[-1].total > 0
    assert Project(young).product_path("flow").exists() and not Project(young).lock_path.exists()


def test_what_was_made_otherwise_is_kept(clip_root: Path) -> None:
    path = Project(clip_root).product_path("flow")
    before = path.read_bytes()
    work = begin(clip_root, load_settings(overrides={**SETTINGS, "flow.pairs": "window:1"}), "hops")
    standing = heard(work)[-1]
    work.stop()
    assert standing.phase == KEPT and standing.text == "not fitted here: flow was made with other settings"
    assert path.read_bytes() == before


def test_work_that_fails_says_why(young: Path, view_settings: Settings) -> None:
    (young / "frames" / "000003.png").write_bytes(b"no image")
    work = begin(young, view_settings)
    standing = heard(work)[-1]
    work.stop()
    assert standing.phase == FAILED and "000003.png" in standing.text and standing.hint


def test_a_project_in_use_is_no_failure(young: Path, view_settings: Settings) -> None:
    with locked(young, "flow"):
        work = begin(young, view_settings)
        standing = heard(work)[-1]
        work.stop()
    assert standing.phase == BUSY and standing.text


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_work_is_a_failure(young: Path, view_settings: Settings) -> None:
    work = begin(young, view_settings)
    os.kill(work._process.pid or 0, signal.SIGKILL)
    standing = heard(work)[-1]
    work.stop()
    assert standing.phase == FAILED and standing.text == "the work in the background ended with status -9"


def test_stopped_work_keeps_what_it_has_and_frees_the_project(young: Path) -> None:
    settings = load_settings(overrides={**SETTINGS, "fit.steps": 100_000, "fit.anchors": 64})
    work = begin(young, settings, "fit")
    heard(work, lambda standing: standing.task == "fit" and standing.done > 0)
    work.stop()
    assert list((young / "checkpoints").glob("*.pt")) and not Project(young).lock_path.exists()
    assert work.standing.phase in (WORKING, STOPPED)


def wait_for(live: Live, true: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until the page shows this."""
    end = time.monotonic() + SECONDS
    while not true(live.snapshot()):
        assert time.monotonic() < end, live.snapshot()
        time.sleep(0.02)


def test_a_page_waits_for_another_process_and_goes_on(young: Path, view_settings: Settings) -> None:
    project, messages = Project(young), Messages()
    answers = Answers(project, view_settings, "cpu", messages)
    live = Live(project, answers, PointList(project), lambda: begin(young, view_settings), messages)

    with ExitStack() as other:
        other.enter_context(locked(young, "flow"))
        with live:
            wait_for(live, lambda now: now["work"]["phase"] == BUSY)
            assert live.snapshot()["state"] == "waiting"
            other.close()
            wait_for(live, lambda now: now["work"]["phase"] == DONE and now["answers"] > 0)
            assert live.snapshot()["state"] == "chained" and live.snapshot()["damage"] == ""
    answers.close()


def test_damage_is_told_and_ends_with_the_damage(clip_root: Path, view_settings: Settings) -> None:
    project = Project(clip_root)
    path = project.product_path("flow")
    whole = path.read_bytes()
    answers = Answers(project, view_settings, "cpu")
    answers.look()
    assert answers.damage == "" and answers.version == 1
    path.unlink()
    path.write_bytes(whole[: len(whole) // 2])
    answers.look()
    assert str(path.name) in answers.damage
    path.unlink()
    path.write_bytes(whole)
    answers.look()
    assert answers.damage == "" and answers.version == 2
    answers.close()


def test_answers_improve_where_points_were_lost(clip_root: Path, view_settings: Settings) -> None:
    """A point that leaves the frame is answered at once; then the page asks again, and exports wait for that."""
    project, lost = Project(clip_root), [Point("a", "", t, 92.0, 60.0) for t in (0, 3)]
    answers = Answers(project, view_settings, "cpu")
    with Live(project, answers, PointList(project), None, Messages()) as live:
        wait_for(live, lambda now: now["answers"] > 0)
        version, _ = answers.ask(lost[1:])  # of a frame that the page has not prepared by itself
        wait_for(live, lambda now: now["answers"] > version)
    tracks, version = answers.settled(lost), answers.version
    with Tracker(project, view_settings, "cpu") as tracker:
        np.testing.assert_array_equal(tracks.tracks, tracker.query(as_rows(lost)[0]).tracks)
    assert not answers.prepare() and answers.ask(lost)[0] == version
    answers.close()
