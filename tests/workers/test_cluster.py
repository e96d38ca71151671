"""Real Ray, on this machine: the same outcomes as without it, retries after deaths, clear messages if it is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pretend_jobs import die, fail, square

from omnitrack.errors import OmnitrackError
from omnitrack.progress import SILENT
from omnitrack.workers.contract import TRIES, Job

FOLDER = Path(__file__).parent


def test_without_ray_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from omnitrack.workers.cluster import Cluster

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OmnitrackError, match="needs Ray, which is not installed") as caught:
        Cluster("local", None, "cpu")
    assert caught.value.hint == 'pip install "omnitrack-video[cluster]"'


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Ray's workers import the pretended jobs."""
    pytest.importorskip("ray", reason="Ray is not installed")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(FOLDER), *sys.path]))


def test_outcomes_failures_and_deaths(tmp_path: Path, importable: None) -> None:
    from omnitrack.workers.cluster import Cluster

    jobs = [
        Job("a", square, (3,)),
        Job("known", fail, ("known",)),
        Job("unknown", fail, ("unknown",)),
        Job("once", die, (tmp_path / "once", 1)),
        Job("always", die, (tmp_path / "always", 99)),
        *(Job(str(number), square, (number,)) for number in range(4)),
    ]
    found = sorted(Cluster("local", 2, "auto").run(iter(jobs), SILENT), key=lambda outcome: outcome.number)
    assert [outcome.name for outcome in found] == ["a", "known", "unknown", "once", "always", "0", "1", "2", "3"]
    by_name = {outcome.name: outcome for outcome in found}
    assert [by_name[name].result[:2] for name in ("a", "0", "3")] == [(9, "cpu"), (0, "cpu"), (9, "cpu")]
    errors = {name: outcome.error.message for name, outcome in by_name.items() if outcome.error}
    assert errors["known"] == "the clip is blank"
    assert errors["unknown"] == "unexpected ZeroDivisionError: by nought"
    assert f"died, the last of {TRIES} that tried" in errors["always"]
    assert len(errors) == 3
    assert by_name["once"].result == "try 2"
    assert len(list((tmp_path / "always").iterdir())) == TRIES


def test_a_cluster_that_is_not_there(importable: None) -> None:
    from omnitrack.workers.cluster import Cluster

    with pytest.raises(OmnitrackError, match=r"there is no cluster at ray://localhost:1: .*refused") as caught:
        list(Cluster("ray://localhost:1", 1, "cpu").run([], SILENT))
    assert "--cluster local" in str(caught.value.hint)
    with pytest.raises(OmnitrackError, match="--device cuda:1 names a GPU"):
        Cluster("local", 1, "cuda:1")


PARENT = """
import sys
from pathlib import Path
from pretend_jobs import sleep
from omnitrack.progress import SILENT
from omnitrack.workers.cluster import Cluster
from omnitrack.workers.contract import Job
from omnitrack.cli.failures import Terminated, stop_on_signals
stop_on_signals()
try:
    list(Cluster("local", 2, "cpu").run([Job(n, sleep, (Path(sys.argv[1]),)) for n in "abc"], SILENT, 3))
except Terminated:
    sys.exit(143)
"""


@pytest.fixture
def stopped(tmp_path: Path, importable: None, request: pytest.FixtureRequest) -> Iterator[tuple[int, Path, list[int]]]:
    """Two jobs in progress on Ray when their parent process gets a signal: its status, marks and workers."""
    process = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "marks")], stderr=subprocess.DEVNULL)
    for _ in range(1200):
        began = list((tmp_path / "marks").glob("began-*"))
        if len(began) == 2:
            break
        time.sleep(0.05)
    process.send_signal(request.param)
    yield process.wait(60), tmp_path / "marks", [int(path.name.partition("-")[2]) for path in began]


@pytest.mark.parametrize("stopped", [signal.SIGTERM], indirect=True)
def test_sigterm_saves(stopped: tuple[int, Path, list[int]]) -> None:
    status, marks, _ = stopped
    assert status == 143
    assert len(list(marks.glob("saved-*"))) == 2


@pytest.mark.parametrize("stopped", [signal.SIGKILL], indirect=True)
def test_workers_end_with_the_head(stopped: tuple[int, Path, list[int]]) -> None:
    _, _, pids = stopped
    assert len(pids) == 2
    for _ in range(400):
        if not any(Path(f"/proc/{pid}").exists() for pid in pids):
            return
        time.sleep(0.05)
    raise AssertionError("workers go on without a head")
