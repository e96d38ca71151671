"""One writer per project: a second process reports the owner of the lock, and changes nothing.

The lock is an operating-system lock on ``.lock`` in the project, which ends with its process however that ends. If the
file system has no locks (NFS, Lustre), each process writes its own file, ``.lock.HOST.PID``, which is valid while the
process runs.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from omnitrack.atomic import atomic_path
from omnitrack.errors import UnavailableError
from omnitrack.hdf5_file import NO_LOCKS
from omnitrack.project.lock_owner import Owner
from omnitrack.project.project import LOCK_NAME, Project

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

P = ParamSpec("P")
R = TypeVar("R")
SIGNING_TRIES = 10
NAMING_TRIES = 6
_held: dict[str, int] = {}  # by directory: number of nested blocks of this process that hold it
_guard = threading.Lock()


@contextmanager
def locked(root: Path, work: str) -> Iterator[None]:
    """Hold the lock of a project while writing to it; blocks of the same process may be nested.

    Args:
        root: The project directory, which exists.
        work: Name of the command, for the message of other processes.

    Raises:
        UnavailableError: Another process is writing.
        OSError: The project cannot be written to.
    """
    key = str(root.resolve())
    with _guard:
        taken = _held.get(key, 0)
        let_go = None if taken else _hold(root, work)
        _held[key] = taken + 1
    try:
        yield
    finally:
        with _guard:
            _held[key] -= 1
            if let_go is not None:
                let_go()


def writes(work: str) -> Callable[[Callable[Concatenate[Project, P], R]], Callable[Concatenate[Project, P], R]]:
    """Decorate a function that writes products of its first argument, a project, to hold the project's lock."""

    def decorate(function: Callable[Concatenate[Project, P], R]) -> Callable[Concatenate[Project, P], R]:
        @wraps(function)
        def holding(project: Project, *arguments: P.args, **named: P.kwargs) -> R:
            with locked(project.root, work):
                return function(project, *arguments, **named)

        return holding

    return decorate


# --- where the file system has locks ----------------------------------------------------------------------------
def _hold(root: Path, work: str) -> Callable[[], None]:
    """Take the lock of the project; return the function that releases it."""
    owner = Owner.here(work)
    path = root / LOCK_NAME
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            if not _has_locks(file, root):
                break
            if _is_at(file, path):
                os.ftruncate(file, 0)
                os.pwrite(file, owner.text(), 0)
                return lambda: _let_go(file, path)
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # its owner removed the file after we opened it, before we locked it
    os.close(file)
    return _hold_by_names(root, owner)


def _let_go(file: int, path: Path) -> None:
    with suppress(OSError):  # the directory itself may be gone
        path.unlink()
    os.close(file)


def _has_locks(file: int, root: Path) -> bool:
    """Lock a file; return False if the file system has no locks.

    Raises:
        UnavailableError: Another process holds the lock.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            return False
        raise _in_use(root, _signature(file)) from error
    return True


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


def _signature(file: int) -> Owner | None:
    """Return the owner of the lock; waits for a lock that has just been taken to be signed."""
    for _ in range(SIGNING_TRIES):
        if owner := Owner.read(os.pread(file, 4096, 0)):
            return owner
        time.sleep(0.02)
    return None


# --- where the file system has no locks -------------------------------------------------------------------------
def _hold_by_names(root: Path, owner: Owner) -> Callable[[], None]:
    """Take the project with a file that names this process, unless another file names a running process.

    Two processes that come at the same time see each other's file, because each writes its own before it looks: both
    withdraw, and try again after a random delay.
    """
    own = root / f"{LOCK_NAME}.{owner.host}.{owner.pid}"
    for _ in range(NAMING_TRIES):
        rival = _rival(root, own)
        if rival is None:
            with atomic_path(own) as part:
                part.write_bytes(owner.text())
            rival = _rival(root, own)
            if rival is None:
                return lambda: own.unlink(missing_ok=True)
            own.unlink()
        time.sleep(random.uniform(0.01, 0.1))
    raise _in_use(root, rival)


def _rival(root: Path, own: Path) -> Owner | None:
    """Return another running process that is named in the project; files of ended processes are removed."""
    for path in sorted(set(root.glob(f"{LOCK_NAME}*")) - {own}):
        with suppress(FileNotFoundError):  # its process has just released it
            owner = Owner.read(path.read_bytes())
            if owner is not None and owner.lives():
                return owner
            path.unlink()
    return None


def _in_use(root: Path, owner: Owner | None) -> UnavailableError:
    hint = "let it finish, or stop it, and type the same again"
    if owner is not None and not owner.is_here():
        hint += f"; if it is gone, remove the files {LOCK_NAME}* of the project"
    return UnavailableError(f"project {root} is in use by {owner or 'another process'}", hint)
