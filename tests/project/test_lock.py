"""One writer per project: the second is told about the first and changes nothing, whatever the file system supports."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import pytest

from omnitrack.errors import OmnitrackError, UnavailableError
from omnitrack.hdf5_file import open_hdf5
from omnitrack.project import lock
from omnitrack.project.lock import locked
from omnitrack.project.product_file import ProductFile
from omnitrack.project.project import Project

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes and locks as on Unix")
HOLD = """
import sys, time
from omnitrack.project.lock import locked
from pathlib import Path
with locked(Path(sys.argv[1]), "flow"):
    print("held", flush=True)
    time.sleep(60)
"""
HOLD_FILE = "import h5py, sys, time; f = h5py.File(sys.argv[1], 'r+'); print('held', flush=True); time.sleep(60)"


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run another process that has reported that it holds something."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


# --- the project ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("locks", [True, False], ids=["locks", "no locks"])
def test_the_second_process_hears_who_is_at_work(
    project: Project, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    with running(HOLD, str(project.root)) as other:
        if not locks:
            without_locks(monkeypatch)
        who = f"in use by omnitrack flow .process {other.pid} on"
        with pytest.raises(UnavailableError, match=who) as caught, locked(project.root, "filter"):
            pytest.fail("both hold it")
        assert "let it finish" in (caught.value.hint or "")
    with locked(project.root, "filter"):  # the other was killed: its lock is released
        pass


def test_a_block_inside_another_one_holds_it_too(project: Project) -> None:
    with locked(project.root, "run"):
        with locked(project.root, "flow"):
            pass
        assert json.loads(project.lock_path.read_text())["work"] == "run"
    assert not project.lock_path.exists()


def test_an_error_lets_go(project: Project) -> None:
    with pytest.raises(LookupError), locked(project.root, "flow"):
        raise LookupError
    with locked(project.root, "flow"):
        pass


@pytest.mark.parametrize(
    ("owner", "free"),
    [
        ({"pid": 2**22 + 1, "host": socket.gethostname(), "born": "1"}, True),  # no such process
        ({"pid": os.getppid(), "host": socket.gethostname(), "born": "another time"}, True),  # a reused process id
        ({"pid": 1, "host": "elsewhere", "born": "1"}, False),  # cannot be checked
    ],
)
def test_without_locks_the_process_counts(
    project: Project, monkeypatch: pytest.MonkeyPatch, owner: dict[str, object], free: bool
) -> None:
    if not Path("/proc/self/stat").exists() and owner["born"] == "another time":
        pytest.skip("this system does not tell when a process began")
    without_locks(monkeypatch)
    named = project.root / f".lock.{owner['host']}.{owner['pid']}"
    named.write_text(json.dumps({**owner, "work": "flow", "since": "today"}))
    if free:
        with locked(project.root, "flow"):
            pass
        return
    with pytest.raises(UnavailableError), locked(project.root, "flow"):
        pass


def test_a_lock_of_another_machine_can_be_removed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    without_locks(monkeypatch)
    owner = {"pid": 1, "host": "elsewhere", "born": "1", "work": "flow", "since": "today"}
    (project.root / ".lock.elsewhere.1").write_text(json.dumps(owner))
    with pytest.raises(UnavailableError) as caught, locked(project.root, "flow"):
        pass
    assert caught.value.hint is not None and "remove the files .lock*" in caught.value.hint


def test_an_unsigned_lock_is_another_process(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SIGNING_TRIES", 1)
    with running(HOLD, str(project.root)):
        project.lock_path.write_text("{broken")
        with pytest.raises(UnavailableError, match="in use by another process"), locked(project.root, "flow"):
            pass


# --- a file -----------------------------------------------------------------------------------------------------
def test_a_file_that_another_program_holds_is_not_damaged(project: Project) -> None:
    product = ProductFile(project, "flow", "flow")
    product.parts({}).merge({"n": 1}, [])
    with running(HOLD_FILE, str(product.path)):
        for ask in (product.open, product.stamp, product.damage):
            with pytest.raises(UnavailableError, match="in use by another program"):
                ask()
    assert product.stamp() == {"n": 1}


def test_a_file_system_without_locks_is_no_obstacle(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    product = ProductFile(project, "flow", "flow")
    product.parts({}).merge({"n": 1}, [])
    whole = h5py.File

    def lockless(path: object, mode: str = "r", **options: object) -> h5py.File:
        if options.get("locking", True):
            raise OSError(errno.ENOLCK, "unable to lock file")
        return whole(path, mode, **options)

    monkeypatch.setattr(h5py, "File", lockless)
    assert product.stamp() == {"n": 1}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_not_damaged(project: Project) -> None:
    product = ProductFile(project, "flow", "flow")
    product.parts({}).merge({"n": 1}, [])
    product.path.chmod(0)
    with pytest.raises(UnavailableError, match="permission denied"):
        product.stamp()


def test_permission_is_told_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(h5py, "File", refuse)
    with pytest.raises(UnavailableError, match="may not be read"):
        open_hdf5(tmp_path / "x.h5")


def test_an_unavailable_thing_is_a_known_failure() -> None:
    assert issubclass(UnavailableError, OmnitrackError)


CONTEND = """
import errno, fcntl, sys, time
if sys.argv[2] == "no locks":
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    fcntl.flock = refuse
from pathlib import Path
from omnitrack.errors import UnavailableError
from omnitrack.project.lock import locked
root, done = Path(sys.argv[1]), 0
while done < 20:
    try:
        with locked(root, "flow"):
            value = int((root / "count").read_text())
            time.sleep(0.0005)
            (root / "count").write_text(str(value + 1))
            done += 1
    except UnavailableError:
        pass
"""


@pytest.mark.parametrize("locks", ["locks", "no locks"])
def test_never_two_at_once(tmp_path: Path, locks: str) -> None:
    """Three processes count to twenty each, in one file that only the holder of the lock may change."""
    (tmp_path / "count").write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", CONTEND, str(tmp_path), locks]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "60"
