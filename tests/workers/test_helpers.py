"""Helpers: each job is done once, whatever becomes of the helpers, and none outlives the process that they help."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from pretend_jobs import lasting, marking

from omnitrack.workers import helpers
from omnitrack.workers.helpers import Begin, do_all

LONG = 60.0
posix = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helpers start at once, however little there is to do."""
    monkeypatch.setattr(helpers, "HESITATION_SECONDS", 0.0)
    monkeypatch.setattr(helpers, "WORTH_SECONDS", 0.0)


def wait_for(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not is_so() and time.monotonic() < end:
        time.sleep(0.02)
    assert is_so()


def done_by(marks: Path, begin: Begin, helped: bool = True, count: int = 6, most: int = 2) -> dict[int, set[int]]:
    """Do `count` jobs, here not before a helper has done one if it is to be `helped`; the processes that did each."""
    told: list[int] = []

    def here(number: int) -> None:
        if helped:
            wait_for(lambda: any(marks.iterdir()))
        (marks / f"{number}-{os.getpid()}").touch()

    do_all(range(count), here, begin, most, told.append)
    assert sorted(told) == list(range(count))
    found: dict[int, set[int]] = {number: set() for number in range(count)}
    for mark in marks.iterdir():
        number, process = map(int, mark.name.split("-"))
        found[number].add(process)
    return found


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process}/stat").is_file() and " Z " in Path(f"/proc/{process}/stat").read_text("ascii")


def test_each_job_is_done_once_by_some_process(tmp_path: Path, at_once: None) -> None:
    found = done_by(tmp_path, partial(marking, tmp_path))
    assert {len(processes) for processes in found.values()} == {1}
    others = set.union(*found.values()) - {os.getpid()}
    assert others and all(map(is_gone, others))


@posix
@pytest.mark.parametrize("kind", ["refuses", "kills"])
def test_what_a_helper_does_not_finish_is_done_here(tmp_path: Path, at_once: None, kind: str) -> None:
    numbers, told = tuple(range(6)), list[int]()
    found = {}

    def here(number: int) -> None:
        wait_for((tmp_path / "tried").exists)
        found[number] = os.getpid()

    do_all(numbers, here, partial(marking, tmp_path, **{kind: numbers}), 1, told.append)
    assert sorted(told) == sorted(found) == list(numbers)


@pytest.mark.parametrize("python", ["/nowhere/python", "/bin/false-python", "blender"])
def test_helpers_that_cannot_start(tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch, python: str) -> None:
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: python)
    assert set.union(*done_by(tmp_path, partial(marking, tmp_path), helped=False).values()) == {os.getpid()}


def test_a_helper_imports_what_this_process_imports(
    tmp_path: Path, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another omnitrack in the current directory would write the results of other code."""
    other = tmp_path / "current" / "omnitrack"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise ImportError('another version')", encoding="utf-8")
    monkeypatch.chdir(other.parent)
    marks = tmp_path / "marks"
    marks.mkdir()
    assert set.union(*done_by(marks, partial(marking, marks)).values()) - {os.getpid()}


@pytest.mark.parametrize(("seconds", "expected"), [(0.02, False), (0.2, True)])
def test_no_helper_for_what_is_soon_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, expected: bool
) -> None:
    """After 0.1 s, more than 2 s of work have to be left."""
    started: list[bool] = []

    def start() -> None:
        started.append(True)
        raise OSError("no helper is needed to see that one was started")

    monkeypatch.setattr(helpers, "_started", start)
    monkeypatch.setattr(helpers, "HESITATION_SECONDS", 0.1)
    do_all(range(25), lambda _: time.sleep(seconds), partial(marking, tmp_path), 1, lambda _: None)
    assert bool(started) == expected


@posix
def test_an_error_here_ends_the_helpers(tmp_path: Path, at_once: None) -> None:
    def here(number: int) -> None:
        wait_for(lambda: any(tmp_path.glob("began-*")))
        raise ZeroDivisionError("by nought")

    with pytest.raises(ZeroDivisionError, match="by nought"):
        do_all(range(4), here, partial(lasting, tmp_path), 1, lambda _: None)
    (began,) = tmp_path.glob("began-*")
    process = int(began.name.removeprefix("began-"))
    assert is_gone(process)
    assert (tmp_path / f"ended-{process}").exists(), "it removes what it has not finished"


SCRIPT = """
import sys, time
from functools import partial
from pathlib import Path
from pretend_jobs import lasting
from omnitrack.workers import helpers

marks = Path(sys.argv[1])
(marks / "script").open("a").write("run\\n")
helpers.HESITATION_SECONDS = helpers.WORTH_SECONDS = 0.0
helpers.do_all(range(4), lambda _: time.sleep(60), partial(lasting, marks), 1, lambda _: None)
"""


@posix
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_helpers_end_with_a_script_that_is_not_run_again(tmp_path: Path, sign: signal.Signals) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    process = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment, stderr=subprocess.DEVNULL)
    wait_for(lambda: any(tmp_path.glob("began-*")))
    (began,) = tmp_path.glob("began-*")
    process.send_signal(sign)
    process.wait(LONG)
    helper = int(began.name.removeprefix("began-"))
    wait_for(lambda: is_gone(helper))
    assert (tmp_path / f"ended-{helper}").exists()
    assert (tmp_path / "script").read_text("utf-8") == "run\n", "a helper does not import the user's script"
