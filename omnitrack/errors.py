"""The one exception a user sees: what went wrong, and what to type next."""

from __future__ import annotations


class OmnitrackError(Exception):
    """A known failure, shown as ``error: MESSAGE`` and, after a blank line, ``hint: HINT`` (exit status 1).

    Args:
        message: Names the object and the cause, lower case, no trailing period.
        hint: What to do or type next.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(OmnitrackError):
    """The command line itself is wrong (exit status 2)."""

    exit_status = 2
