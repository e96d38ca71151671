"""One writer a project: whoever comes second hears who is at work, and touches nothing.

The lock is that of the operating system on ``.lock`` in the project, which ends with its process however that ends.
Where the file system has no locks, the process that the file names counts, as long as it lives.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from omnitrack.atomic import process_lives
from omnitrack.errors import UnavailableError
from omnitrack.hdf5_file import NO_LOCKS
from omnitrack.project.project import LOCK_NAME, Project

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

P = ParamSpec("P")
R = TypeVar("R")
SIGNING_TRIES = 10
_held: dict[str, int] = {}  # by directory: how many blocks of this process hold it, one inside another
_guard = threading.Lock()


@contextmanager
def locked(root: Path, work: str) -> Iterator[None]:
    """Hold a project while it is written to; a block inside another one of the same process holds it too.

    Args:
        root: Its directory, which exists.
        work: What is done, as the other one will read it: the name of a command.

    Raises:
        UnavailableError: Another process is writing.
        OSError: The project cannot be written to.
    """
    key = str(root.resolve())
    with _guard:
        taken = _held.get(key, 0)
        file = None if taken else _take(root / LOCK_NAME, root, work)
        _held[key] = taken + 1
    try:
        yield
    finally:
        with _guard:
            _held[key] -= 1
            if file is not None:
                with suppress(OSError):  # the directory itself may be gone
                    (root / LOCK_NAME).unlink()
                os.close(file)


def writes(work: str) -> Callable[[Callable[Concatenate[Project, P], R]], Callable[Concatenate[Project, P], R]]:
    """A decorator of functions that write products of the project they are given first: they hold it meanwhile."""

    def decorate(function: Callable[Concatenate[Project, P], R]) -> Callable[Concatenate[Project, P], R]:
        @wraps(function)
        def holding(project: Project, *arguments: P.args, **named: P.kwargs) -> R:
            with locked(project.root, work):
                return function(project, *arguments, **named)

        return holding

    return decorate


def _take(path: Path, root: Path, work: str) -> int:
    """The open lock file, held."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _lock(file):
                raise _in_use(root, _owner(file))
            if _is_at(file, path):
                break
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its owner removed it between our opening and our locking it
    about = {"work": work, "pid": os.getpid(), "born": _born(os.getpid()), "host": socket.gethostname()}
    text = json.dumps({**about, "since": time.strftime("%Y-%m-%d %H:%M:%S")})
    os.ftruncate(file, 0)
    os.pwrite(file, text.encode(), 0)
    return file


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _lock(file: int) -> bool:
    """Whether the lock could be had."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in NO_LOCKS:
                return False
    owner = _read(file)
    return not _lives(owner)


def _lives(owner: dict[str, Any]) -> bool:
    """Whether the process that a lock file names is still there; on another host nobody can tell."""
    if not owner or owner.get("pid") == os.getpid():
        return False
    if owner.get("host") != socket.gethostname():
        return True
    return bool(_born(int(owner.get("pid", 0)))) and _born(int(owner["pid"])) == owner.get("born")


def _born(pid: int) -> str:
    """When a process began, in the system's words, so that a number used again is another process; empty: none."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    return "" if Path("/proc/self").is_dir() or not process_lives(pid) else "unknown"


def _read(file: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(file, 4096, 0))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _owner(file: int) -> dict[str, Any]:
    """Who holds the lock; it may have been taken this very moment, and not be signed yet."""
    for _ in range(SIGNING_TRIES):
        if owner := _read(file):
            return owner
        time.sleep(0.02)
    return {}


def _in_use(root: Path, owner: dict[str, Any]) -> UnavailableError:
    who = "another process"
    if owner:
        work, pid, host, since = (owner.get(key) for key in ("work", "pid", "host", "since"))
        who = f"omnitrack {work} (process {pid} on {host}, since {since})"
    return UnavailableError(f"project {root} is in use by {who}", "let it finish, or stop it, and type the same again")
