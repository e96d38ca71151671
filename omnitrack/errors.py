"""The one exception a user sees: what went wrong, and what to type next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OmnitrackError(Exception):
    """A known failure, shown as ``error: MESSAGE`` and, after a blank line, ``hint: HINT`` (exit status 1).

    Args:
        message: Names the object and the cause, lower case, no trailing period.
        hint: What to do or type next.

    Example:
        >>> error = OmnitrackError("clip.mp4 has no frames", "name another video")
        >>> str(error), error.hint
        ('clip.mp4 has no frames', 'name another video')
    """

    exit_status = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnavailableError(OmnitrackError):
    """An existing file or project cannot be used now, without being damaged: it is in use, or access is denied."""


class DamagedError(OmnitrackError):
    """A file can be read, but its content is not what was written: proven damage, not a temporary failure."""


def closest_hint(name: str, known: Iterable[str], otherwise: str) -> str:
    """Return the hint for an unknown name: the most similar known name, or else all known names.

    Args:
        name: The unknown name.
        known: The known names.
        otherwise: Beginning of the list if no name is similar: ``there is``.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"{otherwise}: {', '.join(names)}"


class UsageError(OmnitrackError):
    """The command line itself is wrong (exit status 2)."""

    exit_status = 2
