"""What this process has finished and stays: what a stopped command has to say."""

from __future__ import annotations

from pathlib import Path

NAMED = 3  # of what is kept, the last ones
_kept: dict[Path, str] = {}


def keep(path: Path, words: str = "") -> None:
    """Say that something is finished.

    Args:
        path: Where it is.
        words: What it is called; its path where that says it.
    """
    _kept.pop(path, None)  # so that the last is the last
    _kept[path] = words or str(path)


def what_is_kept() -> str:
    """Names of what was finished since the process began or `forget` was called, and is still there; may be empty."""
    names = [words for path, words in reversed(_kept.items()) if path.exists()]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def forget() -> None:
    """Begin anew: another command in the same process."""
    _kept.clear()
