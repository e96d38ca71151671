"""Files that are whole or not there: written under another name, renamed when complete."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError

MOST_NAME_BYTES = 255  # of a file's name, on nearly every file system
ADDED_BYTES = 20  # two dots, a process number of ten digits at most, ".part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give the block a temporary name beside `path`, and rename it to `path` when the block ends without an error.

    A process killed inside the block leaves whatever was at `path` as it was.

    Args:
        path: The file to make; its missing parents are made.

    Yields:
        A name in the same directory with the same suffix, for the block to write. Where `path` is a device or a named
        pipe, `path` itself.

    Raises:
        OmnitrackError: `path` is a directory, or the block met an `OSError` (full disk, no permission).
    """
    if path.is_dir():
        raise OmnitrackError(f"cannot write {path}: it is a directory", "name a file inside it")
    # A link keeps leading to the file; a device or a named pipe is written to, not replaced.
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
            with suppress(OSError):  # it is not there: it was renamed, or could not be made
                part.unlink()


def _beginning(target: Path) -> str:
    """What the temporary name for `target` begins with: its own, or a digest of one with no room for more."""
    digest = hashlib.sha256(os.fsencode(target.stem)).hexdigest()[:16]
    return f".{target.stem if len(os.fsencode(target.name)) < MOST_NAME_BYTES - ADDED_BYTES else digest}."


def _remove_left_behind(target: Path) -> None:
    """Remove what processes that are gone had begun to write in the place of `target`."""
    beginning = _beginning(target)
    for part in target.parent.glob(f"{glob.escape(beginning)}*.part{glob.escape(target.suffix)}"):
        number = part.name.removeprefix(beginning).removesuffix(f".part{target.suffix}")
        if number.isdecimal() and not process_lives(int(number)):
            with suppress(OSError):
                part.unlink()


def process_lives(pid: int) -> bool:
    """Whether a process of this machine has that number."""
    if pid == os.getpid():
        return True
    if os.name == "nt":
        return True  # asking would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
