"""Files that are whole or not there: written under another name, renamed when complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from omnitrack.errors import OmnitrackError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give the block a temporary name beside `path`, and rename it to `path` when the block ends without an error.

    A process killed inside the block leaves whatever was at `path` as it was.

    Args:
        path: The file to make; its missing parents are made.

    Yields:
        A name in the same directory with the same suffix, for the block to write.

    Raises:
        OmnitrackError: `path` is a directory, or the block met an `OSError` (full disk, no permission).
    """
    if path.is_dir():
        raise OmnitrackError(f"cannot write {path}: it is a directory", "name a file inside it")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise OmnitrackError(
            f"cannot write {path}: {error.strerror or error}", "free some space, or name another place"
        ) from error
    finally:
        with suppress(OSError):  # it is not there: it was renamed, or could not be made
            part.unlink()
