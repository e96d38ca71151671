"""One writer a project: whoever comes second hears who is at work, and touches nothing.

The lock is that of the operating system on ``.lock`` in the project, which ends with its process however that ends.
Where the file system has no locks (NFS, Lustre), a process is named by a file of its own, ``.lock.HOST.PID``, which
counts as long as the process lives.
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
    """A decorator of functions that write products of the project they are given first: they hold it meanwhile."""

    def decorate(function: Callable[Concatenate[Project, P], R]) -> Callable[Concatenate[Project, P], R]:
        @wraps(function)
        def holding(project: Project, *arguments: P.args, **named: P.kwargs) -> R:
            with locked(project.root, work):
                return function(project, *arguments, **named)

        return holding

    return decorate


# --- where the file system has locks ----------------------------------------------------------------------------
def _hold(root: Path, work: str) -> Callable[[], None]:
    """Take the project; how to let go of it."""
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
        os.close(file)  # its owner removed it between our opening and our locking it
    os.close(file)
    return _hold_by_names(root, owner)


def _let_go(file: int, path: Path) -> None:
    with suppress(OSError):  # the directory itself may be gone
        path.unlink()
    os.close(file)


def _has_locks(file: int, root: Path) -> bool:
    """Lock a file; False where the file system has no locks.

    Raises:
        UnavailableError: Another process holds it.
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
    """Who holds the lock; it may have been taken this very moment, and not be signed yet."""
    for _ in range(SIGNING_TRIES):
        if owner := Owner.read(os.pread(file, 4096, 0)):
            return owner
        time.sleep(0.02)
    return None


# --- where it has none ------------------------------------------------------------------------------------------
def _hold_by_names(root: Path, owner: Owner) -> Callable[[], None]:
    """Take the project by a file of our own that names us, where no other names a process that lives.

    Who comes at the same time sees the other's file, for each writes its own before it looks: then both withdraw, and
    try again after a while of random length.
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
    """Another process that lives and is named in the project; the names of dead ones are removed."""
    for path in sorted(set(root.glob(f"{LOCK_NAME}*")) - {own}):
        with suppress(FileNotFoundError):  # it let go this very moment
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
