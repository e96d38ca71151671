"""Atomic file writing: a file is written under another name and renamed when complete."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError

MOST_NAME_BYTES = 255  # of a file name on nearly every file system
ADDED_BYTES = 20  # two dots, a process ID of at most ten digits, ".part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, and rename that file to `path` when the block ends without an error.

    If the process is killed inside the block, a file at `path` stays unchanged.

    Args:
        path: The file to write; missing parent directories are created.

    Yields:
        A name in the same directory with the same suffix, for the block to write. If `path` is a device or a named
        pipe, `path` itself.

    Raises:
        OmnitrackError: `path` is a directory, or the block raised an `OSError` (full disk, no permission).
    """
    if path.is_dir():
        raise OmnitrackError(f"cannot write {path}: it is a directory", "name a file inside it")
    # A symbolic link stays and its target is replaced; a device or a named pipe is written to, not replaced.
    target = path.resolve()
    direct = path.exists() and not path.is_file()
    part = path if direct else target.with_name(f"{_beginning(target)}{os.getpid()}.part{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left_behind(target)
        yield part
        if not direct:
            part.replace(target)
    except OSError as error:
        raise OmnitrackError(
            f"cannot write {path}: {error.strerror or error}", "free some space, or name another place"
        ) from error
    finally:
        if not direct:
            with suppress(OSError):  # missing: it was renamed, or could not be created
                part.unlink()


def _beginning(target: Path) -> str:
    """Return the start of the temporary name for `target`: its own stem, or a digest if the name would be too long."""
    digest = hashlib.sha256(os.fsencode(target.stem)).hexdigest()[:16]
    return f".{target.stem if len(os.fsencode(target.name)) < MOST_NAME_BYTES - ADDED_BYTES else digest}."


def _remove_left_behind(target: Path) -> None:
    """Remove temporary files for `target` that were left by processes which have ended."""
    beginning = _beginning(target)
    for part in target.parent.glob(f"{glob.escape(beginning)}*.part{glob.escape(target.suffix)}"):
        number = part.name.removeprefix(beginning).removesuffix(f".part{target.suffix}")
        if number.isdecimal() and not process_lives(int(number)):
            with suppress(OSError):
                part.unlink()


def process_lives(pid: int) -> bool:
    """Return whether a process with this ID runs on this machine."""
    if pid == os.getpid():
        return True
    if os.name == "nt":
        return True  # os.kill would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True
