"""Processes on this machine: outcomes, separate failures, detected and retried deaths, stops that save."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend_jobs import die, fail, sleep, square

from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT, Board, ClipState, Progress
from omnitrack.workers.contract import TRIES, Executor, Job, Outcome, Share
from omnitrack.workers.executors import local_shares
from omnitrack.workers.here import Here
from omnitrack.workers.processes import Processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by signals")


class Heard(Progress, Board):
    """Records the messages about clips."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, ...]] = []

    def board(self, total: int | None) -> Board:
        return self

    def state(self, name: str, state: ClipState) -> None:
        self.lines.append((name, state.stage, f"{state.done}/{state.total}"))

    def say(self, name: str, text: str, is_warning: bool = False) -> None:
        self.lines.append((name, "warning" if is_warning else "note", text))

    def ended(self, name: str, seconds: float, failure: str = "") -> None:
        self.lines.append((name, "ended", failure))


def outcomes(executor: Executor, jobs: list[Job], progress: Progress = SILENT) -> list[Outcome]:
    return sorted(executor.run(jobs, progress, len(jobs)), key=lambda outcome: outcome.number)


@pytest.mark.parametrize("executor", [Here("cpu"), Processes([Share(device="cpu")] * 2)], ids=["here", "processes"])
def test_outcomes_and_failures_kept_apart(executor: Executor) -> None:
    jobs = [
        Job("a", square, (3,)),
        Job("b", fail, ("known",)),
        Job("c", fail, ("unknown",)),
        *(Job(str(number), square, (number,)) for number in range(5)),
    ]
    found = outcomes(executor, jobs)
    assert [outcome.name for outcome in found] == ["a", "b", "c", "0", "1", "2", "3", "4"]
    assert [outcome.result[:2] for outcome in found if outcome.error is None] == [
        (number**2, "cpu") for number in (3, 0, 1, 2, 3, 4)
    ]
    known, unknown = (outcome.error for outcome in found[1:3])
    assert known is not None and (known.message, known.hint) == ("the clip is blank", "film something")
    assert unknown is not None and unknown.message == "unexpected ZeroDivisionError: by nought"
    assert {outcome.tries for outcome in found} == {1}


def test_a_killed_process_is_named_and_another_goes_on(tmp_path: Path) -> None:
    heard = Heard()
    jobs = [Job("once", die, (tmp_path / "a", 1)), Job("always", die, (tmp_path / "b", 99)), Job("well", square, (2,))]
    once, always, well = outcomes(Processes([Share(), Share()]), jobs, heard)
    assert (once.result, once.tries, once.error) == ("try 2", 2, None)
    assert always.error is not None and always.tries == TRIES == len(list((tmp_path / "b").iterdir()))
    assert "was killed by SIGKILL, as 2 others before" in always.error.message
    assert well.result[0] == 4
    deaths = [line for line in heard.lines if line[1] == "warning"]
    assert sorted(name for name, *_ in deaths) == ["always", "always", "once"]
    assert all("was killed by SIGKILL; another one continues" in text for *_, text in deaths)
    assert ("well", "squaring", "1/2") in heard.lines
    assert ("once", "ended", "") in heard.lines


def test_jobs_are_taken_when_there_is_room() -> None:
    taken = []

    def jobs() -> Iterator[Job]:
        for number in range(4):
            taken.append(number)
            yield Job(str(number), square, (number,))

    running = Processes([Share()]).run(jobs(), SILENT)
    next(running)
    assert len(taken) <= 2
    assert [outcome.number for outcome in running] == [1, 2, 3]


def test_a_failing_source_of_jobs_ends_the_processes() -> None:
    def jobs() -> Iterator[Job]:
        yield Job("a", square, (1,))
        raise OmnitrackError("the dataset ends early")

    with pytest.raises(OmnitrackError, match="ends early"):
        list(Processes([Share()]).run(jobs(), SILENT))
    assert not [thread for thread in threading.enumerate() if "ExecutorManager" in thread.name]


def wait_for(marks: Path, pattern: str, count: int) -> list[Path]:
    for _ in range(600):
        found = list(marks.glob(pattern))
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{count} of {pattern} did not come")


PARENT = """
import signal
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
if __name__ == "__main__":
    from pretend_jobs import sleep
    from omnitrack.progress import SILENT
    from omnitrack.workers.contract import Job, Share
    from omnitrack.workers.processes import Processes
    from omnitrack.cli.failures import stop_on_signals
    stop_on_signals()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in jobs in the background of a shell
    list(Processes([Share(), Share()]).run([Job(n, sleep, (Path({marks!r}),)) for n in "abc"], SILENT, 3))
"""


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda by: by.name)
def test_all_end_with_the_process_that_started_them(tmp_path: Path, by: signal.Signals) -> None:
    marks = tmp_path / "marks"
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(folder=str(Path(sleep.__code__.co_filename).parent), marks=str(marks)))
    parent = subprocess.Popen([sys.executable, script], stderr=subprocess.DEVNULL)
    pids = [int(path.name.partition("-")[2]) for path in wait_for(marks, "began-*", 2)]
    parent.send_signal(by)
    parent.wait(30)
    wait_for(marks, "saved-*", 2)
    for pid in pids:
        for _ in range(200):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                break
            time.sleep(0.05)
        else:
            raise AssertionError(f"process {pid} goes on")


def test_a_machine_is_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omnitrack.device.usable_cores", lambda: 7)
    assert local_shares(3, "cpu") == [Share(2, "cpu")] * 3
    assert local_shares(9, "cpu") == [Share(1, "cpu")] * 9
    with pytest.raises(OmnitrackError, match="cuda:0 alone"):
        local_shares(2, "cuda:0")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [share.device for share in local_shares(3, "auto")] == ["cuda:0", "cuda:1", "cuda:0"]
