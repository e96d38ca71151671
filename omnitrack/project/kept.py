"""Results that this process has finished, which the message of a stopped command lists as kept."""

from __future__ import annotations

from pathlib import Path

NAMED = 3  # number of results that are named: the last ones
_kept: dict[Path, str] = {}


def keep(path: Path, words: str = "") -> None:
    """Record a finished result.

    Args:
        path: Its path.
        words: Its description; empty: the path.
    """
    _kept.pop(path, None)  # so that it becomes the last entry
    _kept[path] = words or str(path)


def what_is_kept() -> str:
    """Return the names of results finished since the process began or `forget`, if they still exist; may be empty."""
    names = [words for path, words in reversed(_kept.items()) if path.exists()]
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return ", ".join([*names[:NAMED], *more])


def forget() -> None:
    """Forget all results, because another command begins in the same process."""
    _kept.clear()
