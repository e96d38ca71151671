"""The only place where exceptions become ``error:`` and ``hint:``."""

from __future__ import annotations

import difflib
import shlex
import signal
from typing import Any

from omnitrack.diagnosis import diagnose
from omnitrack.errors import OmnitrackError, UsageError
from omnitrack.interrupts import end_on

RESUMED_BY_FLAG = ("fit",)


class Terminated(KeyboardInterrupt):
    """SIGTERM, which Slurm, systemd and Docker send to end a process; it stops the work like Ctrl-C."""


class Interrupted(Exception):
    """Ctrl-C or SIGTERM inside a command; on a `KeyboardInterrupt` typer would exit silently.

    Args:
        by: The exception that stopped the command.
    """

    def __init__(self, by: KeyboardInterrupt) -> None:
        super().__init__()
        self.by = by


def stop_on_signals() -> None:
    """Let SIGTERM stop this process like Ctrl-C, with finished work saved, and lose neither."""

    def stop() -> None:
        raise Terminated

    def interrupt() -> None:
        raise KeyboardInterrupt

    end_on(signal.SIGTERM, end=stop)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored: a job in the background
        end_on(signal.SIGINT, end=interrupt)


def explain(error: BaseException, arguments: list[str], kept: str = "") -> OmnitrackError:
    """Turn an exception into an error message and a hint about what to type next.

    Args:
        error: Any exception that a command did not catch.
        arguments: The command line, without the program's name.
        kept: Names the work that was finished before the stop and is kept; empty if there is none.

    Returns:
        A known error; the message of an unexpected one states that.
    """
    if isinstance(error, (KeyboardInterrupt, Interrupted)):
        by = error.by if isinstance(error, Interrupted) else error
        word, status = ("stopped by SIGTERM", 143) if isinstance(by, Terminated) else ("interrupted", 130)
        told, hint = f"kept: {kept}", f"go on with: {resume_command(arguments)}"
        if not kept:
            told, hint = "nothing was finished yet", f"start again with: {shlex.join(['omnitrack', *arguments])}"
        stopped = OmnitrackError(f"{word}; {told}", hint)
        stopped.exit_status = status
        return stopped
    if hasattr(error, "format_message"):  # from click; typer vendors it from 0.26 on, so there is no common class
        return _usage(error)
    return diagnose(error)


def resume_command(arguments: list[str]) -> str:
    """Return the command line that resumes where this one stopped."""
    by_flag = bool(arguments) and arguments[0] in RESUMED_BY_FLAG and "--resume" not in arguments
    return shlex.join(["omnitrack", *arguments, *(["--resume"] if by_flag else [])])


def _usage(error: Any) -> UsageError:
    """Reword a click exception: what is wrong, then the closest valid choice or where to read about it."""
    possibilities = getattr(error, "possibilities", None)
    message, _, suggestion = error.format_message().partition(". Did you mean ")
    if possibilities:
        nearest = difflib.get_close_matches(error.option_name, possibilities, n=1, cutoff=0)
        message, suggestion = error.message, f"{nearest[0]}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "omnitrack"
    hint = f"did you mean {suggestion}" if suggestion else f"see what it takes: {path} --help"
    return UsageError(message[:1].lower() + message[1:].rstrip("."), hint)
