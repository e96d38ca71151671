"""Replacing a file by a new one; the old file stays whole until then."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError


@contextmanager
def replacing(path: Path, command: str) -> Iterator[Path]:
    """Yield a temporary file that replaces `path` if the block succeeds."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with writing_to(path, command):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path, command: str) -> Iterator[None]:
    """Turn a failure to write a file into an error that names the file."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py raises either if a file that it reads is damaged
        cause = str(getattr(error, "strerror", None) or error).partition("\n")[0].lower()
        raise OmnitrackError(
            f"cannot write {path}: {cause}",
            f"make room or allow writing there; then {command} goes on from here",
        ) from error


def remove_any(path: Path) -> None:
    """Remove a file, or a directory at its path."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
