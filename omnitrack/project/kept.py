"""Whether this process has finished anything that stays: what a stopped command has to say."""

from __future__ import annotations

import threading

_kept = threading.Event()


def keep() -> None:
    """Say that something is finished, and stays."""
    _kept.set()


def anything_kept() -> bool:
    """Whether anything is, since the process began or `forget` was called."""
    return _kept.is_set()


def forget() -> None:
    """Begin anew: another command in the same process."""
    _kept.clear()
