"""Progress on stderr: plain lines if it is not a terminal, live bars and a table of values if it is."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from omnitrack.cli.console import duration, number, size_text
from omnitrack.cli.progress import BarProgress, LineProgress, make_progress
from omnitrack.progress import Progress


def plain_console() -> Console:
    return Console(file=io.StringIO(), width=60)


def terminal(width: int = 120) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (9.4, "0:09"), (59.6, "1:00"), (61, "1:01"), (3599.9, "1:00:00"), (7325, "2:02:05")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.123456, "0.1235"), (1234.6, "1235"), (54321.0, "54321"), (2, "2"), ("warm-up", "warm-up")]
)
def test_number(value: float | str, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (999_600, "1 MB"), (20_700_000_000, "20.7 GB"), (9e15, "9e+03 TB")],
)
def test_sizes(count: int, text: str) -> None:
    assert size_text(count) == text


def test_the_right_kind_for_the_place() -> None:
    assert isinstance(make_progress(plain_console(), quiet=False, verbose=False), LineProgress)
    assert isinstance(make_progress(terminal(), quiet=False, verbose=False), BarProgress)
    assert type(make_progress(terminal(), quiet=True, verbose=True)) is Progress


def test_one_line_per_ten_percent_without_control_codes() -> None:
    console = plain_console()
    with LineProgress(console, verbose=False).task("fit", 1000) as task:
        for step in range(1000):
            task.advance(loss=0.5 / (step + 1))
    lines = text_of(console).splitlines()
    assert [line.split(" (")[0] for line in lines] == [f"fit: {10 * tenth} %" for tenth in range(1, 11)]
    assert re.fullmatch(r"fit: 10 % \(100/1000 steps, [\d.]+/s, 0:00 left, loss 0\.005\)", lines[0])
    assert re.fullmatch(r"fit: 100 % \(1000/1000 steps, [\d.]+/s, 0:00, loss 0\.0005\)", lines[-1])
    assert "\x1b" not in text_of(console)
    assert "\r" not in text_of(console)


def test_work_of_an_earlier_run_is_not_told_again() -> None:
    console = plain_console()
    with LineProgress(console, verbose=False).task("flow", 10, done=8, unit="pairs") as task:
        task.advance()
        task.advance()
    assert [line.split(",")[0] for line in text_of(console).splitlines()] == [
        "flow: 90 % (9/10 pairs",
        "flow: 100 % (10/10 pairs",
    ]


@pytest.mark.parametrize("make", [LineProgress, BarProgress])
@pytest.mark.parametrize("total", [0, 1, 3])
def test_tasks_of_any_length_end_quietly(make: type[LineProgress | BarProgress], total: int) -> None:
    console = plain_console()
    with make(console, False).task("tiny", total) as task:
        for _ in range(total + 1):
            task.advance()
    assert all(re.match(r"(. )?tiny", line) for line in text_of(console).splitlines())


def test_verbose_says_how_long_a_task_took() -> None:
    console = plain_console()
    with LineProgress(console, verbose=True).task("frames", 0, unit="frames"):
        pass
    assert re.fullmatch(r"frames: 0/0 frames in 0\.\d s\n", text_of(console))


def test_notes_and_warnings_are_one_line_and_never_markup() -> None:
    console = plain_console()
    progress = LineProgress(console, verbose=False)
    progress.note("a note that is longer than the sixty columns of this console, with [brackets] in it")
    progress.warn("[bold]odd[/bold]")
    assert text_of(console) == (
        "a note that is longer than the sixty columns of this console, with [brackets] in it\n"
        "warning: [bold]odd[/bold]\n"
    )


def test_bars_on_a_terminal_show_losses_speed_time_and_time_left() -> None:
    console = terminal()
    progress = BarProgress(console, verbose=False)
    with progress.task("fit", 100) as task:
        for _ in range(30):
            task.advance(flow=0.25, depth=0.125)
        progress.note("a note above the bar")
    shown = text_of(console)
    final = shown[shown.rindex("fit") :]
    assert "30/100 steps" in final
    assert re.search(r"30/100 steps 0:00:00 00:0\d left", final)
    header, *rows = [line.split() for line in final.splitlines()[1:] if line.strip(" \x1b[?25hK")]
    assert header == ["step", "flow", "depth", "steps/s"]
    assert [row[:3] for row in rows] == [["10", "0.25", "0.125"], ["20", "0.25", "0.125"], ["30", "0.25", "0.125"]]
    assert "a note above the bar" in shown


def test_all_losses_of_a_fit_can_be_read_in_80_columns() -> None:
    names = ["error_px", "flow", "depth", "depth_prior", "depth_gradient", "occlusion", "smoothness", "loss"]
    console = terminal(80)
    with BarProgress(console, verbose=False).task("fit", 400) as task:
        task.advance(400, **dict.fromkeys(names, 0.0123456))
    shown = text_of(console)
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert "gradient occlusion smoothness" in shown
    assert re.search(rf"^ *400(?: +0\.0123){{{len(names)}}} +\d+$", shown, re.MULTILINE)


def test_nested_and_later_tasks_share_and_renew_the_display() -> None:
    console = terminal()
    progress = BarProgress(console, verbose=False)
    with progress.task("outer", 1), progress.task("inner", 1) as inner:
        inner.advance()
    with progress.task("later", 1) as later:
        later.advance()
    shown = text_of(console)
    assert shown.index("outer") < shown.index("inner") < shown.index("later")
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 2  # the cursor comes back after each display


def test_an_error_inside_a_task_gives_the_terminal_back() -> None:
    console = terminal()
    with pytest.raises(ValueError), BarProgress(console, verbose=False).task("fit", 10):
        raise ValueError
    assert text_of(console).count("\x1b[?25h") == 1


def test_a_stage_has_one_line_with_its_number_and_without_losses() -> None:
    console = terminal(80)
    progress = BarProgress(console, verbose=False)
    progress.plan(["frames", "flow", "fit"])
    with progress.stage("flow"):
        for task_name in ("flow", "search"):
            with progress.task(task_name, 4, unit="pairs") as task:
                task.advance(4)
    with progress.stage("fit"), progress.stage("inner"), progress.task("fit", 8) as task:
        task.advance(8, loss=0.5)
    shown = text_of(console)
    assert "2/3 flow   " in shown  # as wide as "frames"
    assert "inner" not in shown
    assert "loss" not in shown
    last = [line for line in re.sub(r"\x1b\[[?\d]*[a-zA-Z]", "\n", shown).splitlines() if "3/3" in line][-1]
    assert re.fullmatch(r" *3/3 fit +\S+ 8/8 steps 0:00:00 *", last)


def test_a_stage_that_says_nothing_still_moves() -> None:
    """The bar of a stage without a task, and the bar between results, are redrawn continually."""
    console = terminal(80)
    with BarProgress(console, verbose=False).stage("weigh"):
        time.sleep(0.5)
    frames = re.findall(r"(\S) weigh", text_of(console))
    assert len(set(frames)) >= 3


def test_an_error_inside_a_stage_gives_the_terminal_back_too() -> None:
    console = terminal()
    with pytest.raises(ValueError), BarProgress(console, verbose=False).stage("fit"):
        raise ValueError
    assert text_of(console).count("\x1b[?25h") == 1


def test_lines_say_each_planned_stage_once_before_it() -> None:
    console = plain_console()
    progress = LineProgress(console, verbose=False)
    progress.plan(["flow", "fit"])
    with progress.stage("fit"), progress.stage("flow"), progress.task("fit", 1) as task:
        task.advance()
    assert [line.split(":")[0] for line in text_of(console).splitlines()] == ["2/2 fit", "fit"]
