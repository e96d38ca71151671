"""`omnitrack run` of several videos: how they are distinguished from a project, what is refused, and what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from omnitrack.cli.board import LineBoard, TableBoard
from omnitrack.errors import OmnitrackError
from omnitrack.progress import ClipState
from omnitrack.stages.run import RunReport

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        Path(name).touch()


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """The calls of `run_all`, which runs nothing; the video b.mp4 fails."""
    calls: list[tuple[Any, ...]] = []

    def run_all(video: str, root: Path, *more: Any) -> RunReport:
        calls.append((video, root, *more))
        if video == "b.mp4":
            raise OmnitrackError("b.mp4 is empty (0 bytes)", "copy or export the video again")
        return RunReport(str(root), 8, [], f"{root}/tracks/tracks.npz", 20, f"{root}/renders/trails.mp4", 1.0)

    monkeypatch.setattr("omnitrack.stages.run_many.run_all", run_all)
    monkeypatch.setattr("omnitrack.stages.run.run_all", run_all)
    return calls


def test_one_video_and_its_project(cli: Cli, ran: list[Any]) -> None:
    assert cli("run", "a.mp4")[0] == 0
    assert cli("run", "a.mp4", "work", "--steps", "7")[0] == 0
    assert [call[:2] for call in ran] == [("a.mp4", Path("a")), ("a.mp4", Path("work"))]
    assert ran[1][2].fit.steps == 7


def test_several_videos_and_one_that_fails(cli: Cli, ran: list[Any]) -> None:
    status, out, err = cli("run", "*.mp4", "--into", "work", "--grid", "5@1", "--set", "fit.steps=7")
    assert [call[:2] for call in ran] == [(f"{name}.mp4", Path("work", name)) for name in "abc"]
    assert all((call[2].fit.steps, call[3], call[4]) == (7, "5@1", "trails") for call in ran)
    assert (status, out) == (1, "")
    assert "work/a/renders/trails.mp4  (8 frames, 20 tracks)" in err
    assert "2 of 3 clips done" in err
    assert err.endswith("error: b.mp4 is empty (0 bytes)\n\nhint: copy or export the video again\n")


def test_the_report_is_json_where_that_is_asked_for(cli: Cli, ran: list[Any]) -> None:
    status, out, _ = cli("run", "a.mp4", "b.mp4", "--into", "work", "--json")
    report = json.loads(out)
    assert status == 1
    assert (report["done"], report["failed"]) == (1, 1)
    assert [clip["error"] for clip in report["clips"]] == ["", "b.mp4 is empty (0 bytes)"]
    assert report["clips"][0]["runs"][0]["points"] == 20


def test_settings_of_a_project_that_is_there_are_kept(cli: Cli, ran: list[Any]) -> None:
    Path("work/a").mkdir(parents=True)
    Path("work/a/omnitrack.toml").write_text("[fit]\nsteps = 11\nanchors = 5\n")
    Path("work/c").mkdir(parents=True)
    Path("work/c/omnitrack.toml").write_text("[fit]\nstpes = 11\n")
    status, _, err = cli("run", "a.mp4", "c.mp4", "--into", "work", "--steps", "7")
    assert [(call[2].fit.steps, call[2].fit.anchors) for call in ran] == [(7, 5)]
    assert status == 1
    assert "unknown setting fit.stpes" in err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["a.mp4", "b.mp4"], 2, "2 videos need a directory for their projects"),
        (["a.mp4", "work", "c.mp4"], 2, "3 videos need a directory for their projects"),
        (["a.mp4", "--jobs", "2"], 2, "--jobs and --cluster are for several videos, and --into was not given"),
        (["a.mp4", "--into", "work", "-o", "x.mp4"], 2, "--output x.mp4 is one file, and every video has its own"),
        (["a.mp4", "--into", "work", "--set", "fit.stpes=3"], 1, "unknown setting fit.stpes"),
        (["a.mp4", "no/*.mp4", "--into", "work"], 1, "nothing matches no/*.mp4"),
        (["a.mp4", "--into", "work", "--style", "rgb"], 1, "a field of method cadex has none"),
        (["a.mp4", "c.mp4", "--into", "work", "--jobs", "0"], 2, "invalid value for '--jobs'"),
    ],
)
def test_refused_before_anything_is_made(cli: Cli, ran: list[Any], words: list[str], status: int, message: str) -> None:
    found, out, err = cli("run", *words)
    assert (found, out) == (status, "")
    assert f"error: {message}" in err.lower() or message in err
    assert "hint: " in err
    assert ran == [] and not Path("work").exists()


# --- what is shown ----------------------------------------------------------------------------------------------
def happen(board: LineBoard | TableBoard) -> None:
    board.began("a", "process 7")
    board.began("[b]\x1b", "process 8")
    board.state("a", ClipState("flow", 3, 12))
    board.state("a", ClipState("flow", 6, 12))
    board.say("a", "said in passing")
    board.say("a", "its process died", is_warning=True)
    board.ended("[b]\x1b", 61.0, "it is empty")


def test_lines() -> None:
    written = io.StringIO()
    happen(LineBoard(Console(file=written), 4, verbose=False))
    assert written.getvalue().splitlines() == [
        "a: begins (process 7)",
        "[b]\\x1b: begins (process 8)",
        "a: flow",
        "warning: a: its process died",
        "failed: [b]\\x1b: it is empty",
        "[b]\\x1b: 1:01; 0 of 4 done, 1 failed, 1 at work, about 0:00 left",
    ]


def test_the_table_shows_what_is_at_work_and_counts_the_rest() -> None:
    written = io.StringIO()
    console = Console(file=written, width=100, height=10)
    board = TableBoard(console, 40, verbose=True)
    happen(board)
    assert written.getvalue().splitlines() == [
        "a: said in passing",
        "warning: a: its process died",
        "failed: [b]\\x1b: it is empty",
    ]
    for number in range(20):
        board.began(f"clip {number}", "")
    console.print(board.picture())
    shown = written.getvalue().splitlines()[3:]
    assert shown[0].startswith("a ") and "flow" in shown[0] and "50 %" in shown[0]
    assert len(shown) == 8 + 1
    assert shown[-1].startswith("0 of 40 done, 1 failed, 21 at work")
